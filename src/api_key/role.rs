//! What a caller is, and what it may do.

use serde::{Deserialize, Serialize};

/// What a caller is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything. No answer shows a credential back.
    Admin,
    /// Sees realms, status and log; renews, retries, reports, pushes inputs; reads no token.
    Operator,
    /// Reads the tokens of its scopes, and how they stand.
    App,
    /// Writes pushed inputs of its scopes, nothing else.
    Push,
    /// An edge cache: as `app`.
    Edge,
    /// The cron call only.
    Cron,
}

/// What may be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Writing realms, secrets and API keys; trials of unsaved definitions.
    Manage,
    /// Seeing realms, secrets, presets and the log of calls; trials of saved realms.
    Observe,
    /// Reading a token.
    ReadToken,
    /// Having a token renewed: renew, report. Who may not read the token is answered its secret's
    /// status.
    Renew,
    /// Another attempt before the pause after a failure is over; it may use a quota's reserve.
    Retry,
    /// Seeing how a secret stands.
    SeeStatus,
    /// Writing a pushed input.
    Push,
    /// The cron call.
    Cron,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 6] = [
        Self::Admin,
        Self::Operator,
        Self::App,
        Self::Push,
        Self::Edge,
        Self::Cron,
    ];

    /// Whether this role may do it, inside its scopes.
    #[must_use]
    pub fn may(self, action: Action) -> bool {
        match self {
            Self::Admin => true,
            Self::Operator => !matches!(action, Action::Manage | Action::ReadToken),
            Self::App | Self::Edge => matches!(
                action,
                Action::ReadToken | Action::Renew | Action::SeeStatus
            ),
            Self::Push => action == Action::Push,
            Self::Cron => action == Action::Cron,
        }
    }

    /// Whether a key of this role must be given a scope. Without one `admin` and `operator` reach
    /// every secret, and `cron` needs none.
    #[must_use]
    pub fn needs_scope(self) -> bool {
        matches!(self, Self::App | Self::Push | Self::Edge)
    }

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Operator => "operator",
            Self::App => "app",
            Self::Push => "push",
            Self::Edge => "edge",
            Self::Cron => "cron",
        }
    }

    /// The role of a name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_those_who_read_tokens_may() {
        let readers: Vec<_> = Role::ALL
            .into_iter()
            .filter(|role| role.may(Action::ReadToken))
            .collect();
        assert_eq!(readers, [Role::Admin, Role::App, Role::Edge]);
        let managers = Role::ALL
            .into_iter()
            .filter(|role| role.may(Action::Manage));
        assert_eq!(managers.collect::<Vec<_>>(), [Role::Admin]);
        assert!(Role::Push.may(Action::Push) && !Role::Push.may(Action::SeeStatus));
    }

    #[test]
    fn names_are_read_back() {
        for role in Role::ALL {
            assert_eq!(Role::of_name(role.as_str()), Some(role));
        }
        assert_eq!(Role::of_name("Admin"), None);
    }
}
