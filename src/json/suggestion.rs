//! "Did you mean…": the nearest of the names that are known.

/// ` (did you mean x?)`, or nothing when no name is near.
pub(crate) fn suggestion<'a>(written: &str, known: impl Iterator<Item = &'a str>) -> String {
    let near = known
        .map(|name| {
            (
                strsim::damerau_levenshtein(&written.to_lowercase(), &name.to_lowercase()),
                name,
            )
        })
        // The same word stands elsewhere: it is not what was meant.
        .filter(|(_, name)| *name != written)
        .filter(|(distance, name)| {
            *distance <= (name.chars().count().max(written.chars().count()) / 3).max(1)
        })
        .min();
    near.map_or_else(String::new, |(_, name)| format!(" (did you mean {name}?)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_near_names_are_suggested() {
        let known = || ["appid", "secret", "grant_type"].into_iter();
        assert_eq!(suggestion("appId", known()), " (did you mean appid?)");
        assert_eq!(suggestion("secert", known()), " (did you mean secret?)");
        assert_eq!(suggestion("tenant", known()), "");
    }
}
