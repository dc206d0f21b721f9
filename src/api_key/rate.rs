//! How fast a caller may call.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

/// So many calls a second. The same number may come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(NonZeroU32);

impl Rate {
    /// Calls a second.
    #[must_use]
    pub fn per_second(self) -> NonZeroU32 {
        self.0
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", self.0)
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text
            .strip_suffix("/s")
            .and_then(|number| number.parse().ok());
        number
            .map(Self)
            .ok_or_else(|| format!("expected calls a second, as 100/s; found {text:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_of_calls_a_second() {
        assert_eq!("100/s".parse::<Rate>().unwrap().to_string(), "100/s");
        for wrong in ["0/s", "100", "1.5/s", "-1/s", "/s", "100/m", "5000000000/s"] {
            assert!(wrong.parse::<Rate>().is_err(), "{wrong}");
        }
    }
}
