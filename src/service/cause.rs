//! Why a renewal runs.

/// Why a renewal runs: decides what is good enough to be taken instead of fetching.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// There is no usable token here: any usable one will do.
    Miss,
    /// The held token nears its end: one that is not due will do.
    Due,
    /// A caller wants another token than the one held: one that came after the ask will do.
    Flush,
    /// A caller's token of this version was refused by the provider's API: a newer one will do.
    Report {
        /// The refused token's.
        version: i64,
    },
    /// A caller needs a token that lives so long yet.
    MinTtl {
        /// Milliseconds.
        ms: i64,
    },
    /// An operator wants another attempt although the last one failed.
    Retry,
    /// A secret's next credentials are to be tried.
    Next,
    /// An operator tries a definition; nothing is kept.
    Trial,
}

impl Cause {
    /// Whether the provider must be told that another token is wanted than the one it would repeat.
    #[must_use]
    pub fn is_forced(self) -> bool {
        match self {
            Self::Flush | Self::Report { .. } => true,
            Self::Miss
            | Self::Due
            | Self::MinTtl { .. }
            | Self::Retry
            | Self::Next
            | Self::Trial => false,
        }
    }

    /// Whether callers have nothing else to go on: such a fetch may use a quota's reserve.
    #[must_use]
    pub fn is_essential(self) -> bool {
        match self {
            Self::Miss | Self::Report { .. } | Self::Retry => true,
            Self::Due | Self::Flush | Self::MinTtl { .. } | Self::Next | Self::Trial => false,
        }
    }

    /// Whether the caller asked for another token than the one held.
    #[must_use]
    pub fn wants_another(self) -> bool {
        match self {
            Self::Flush | Self::Report { .. } | Self::MinTtl { .. } => true,
            Self::Miss | Self::Due | Self::Retry | Self::Next | Self::Trial => false,
        }
    }

    /// Whether no caller waits for it.
    #[must_use]
    pub fn is_background(self) -> bool {
        match self {
            Self::Due | Self::Next => true,
            Self::Miss
            | Self::Flush
            | Self::Report { .. }
            | Self::MinTtl { .. }
            | Self::Retry
            | Self::Trial => false,
        }
    }

    /// The word in logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Miss => "miss",
            Self::Due => "due",
            Self::Flush => "flush",
            Self::Report { .. } => "report",
            Self::MinTtl { .. } => "min_ttl",
            Self::Retry => "retry",
            Self::Next => "next",
            Self::Trial => "trial",
        }
    }
}
