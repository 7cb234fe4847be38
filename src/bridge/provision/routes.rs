//! The paths of the provisioning API: the one list that requests are found in and that the
//! description is made of.

/// Where the description is.
pub(super) const DESCRIPTION: &str = "openapi.json";

/// Stands for what a path is about.
const ARGUMENT: &str = "{}";

/// What a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Right {
    /// No token.
    Nobody,
    /// Any token.
    Read,
    /// A token that may write.
    Write,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Describe,
    Status,
    ListPortals,
    MakePortal,
    ShowPortal,
    EndPortal,
    ListProposals,
    Propose,
    Approve,
    Reject,
    ListDeadLetters,
    Resend,
    WhoIs,
    Audit,
}

/// A path with a method.
#[derive(Debug)]
pub(super) struct Route {
    pub method: &'static str,
    /// Behind the prefix, with `{}` for an argument.
    pub path: &'static str,
    /// What the argument is called.
    pub argument: &'static str,
    pub right: Right,
    pub act: Act,
    /// In a line, for the description.
    pub what: &'static str,
    /// Fields of the query, and what each is.
    pub query: &'static [(&'static str, &'static str)],
}

const fn get(path: &'static str, act: Act, what: &'static str) -> Route {
    Route {
        method: "GET",
        path,
        argument: "",
        right: Right::Read,
        act,
        what,
        query: &[],
    }
}

/// Which part of a list is asked for.
const PAGE: &[(&str, &str)] = &[
    ("offset", "how many are left out; 0 when absent"),
    (
        "limit",
        "how many at the most; 100 when absent, 1000 at the most",
    ),
];

/// All of them.
pub(super) const ROUTES: &[Route] = &[
    Route {
        right: Right::Nobody,
        ..get(DESCRIPTION, Act::Describe, "This description")
    },
    get("status", Act::Status, "How it goes with the bridge"),
    Route {
        query: PAGE,
        ..get("portals", Act::ListPortals, "What is mirrored with what")
    },
    Route {
        method: "POST",
        right: Right::Write,
        ..get(
            "portals",
            Act::MakePortal,
            "Mirrors a channel or group into a new room; again: finds it",
        )
    },
    Route {
        argument: "room",
        ..get(
            "portals/{}",
            Act::ShowPortal,
            "How it goes with one of them",
        )
    },
    Route {
        method: "DELETE",
        argument: "room",
        right: Right::Write,
        ..get(
            "portals/{}",
            Act::EndPortal,
            "Ends that a channel or group is mirrored",
        )
    },
    get(
        "proposals",
        Act::ListProposals,
        "Which rooms that exist on both sides somebody proposes to join; with their codes for a token that may write",
    ),
    Route {
        method: "POST",
        right: Right::Write,
        ..get(
            "proposals",
            Act::Propose,
            "Proposes to join two rooms for the token's `user` or `account`, who has to administer the room of that side; those of the other one are asked",
        )
    },
    Route {
        method: "POST",
        right: Right::Write,
        ..get(
            "proposals/approve",
            Act::Approve,
            "Approves a proposal for the token's `user` or `account`, who has to administer the room that is asked",
        )
    },
    Route {
        method: "POST",
        right: Right::Write,
        ..get(
            "proposals/reject",
            Act::Reject,
            "Declines a proposal, likewise",
        )
    },
    Route {
        query: PAGE,
        ..get(
            "dead_letters",
            Act::ListDeadLetters,
            "What could not be delivered, without what was written",
        )
    },
    Route {
        method: "POST",
        argument: "number",
        right: Right::Write,
        ..get(
            "dead_letters/{}/resend",
            Act::Resend,
            "Tries one of them again",
        )
    },
    Route {
        query: &[
            (
                "user",
                "a Matrix user: whose ghost it is, or which puppet stands for it",
            ),
            ("account", "the id of an account on Rocket.Chat, likewise"),
        ],
        ..get(
            "people",
            Act::WhoIs,
            "Who is who on the other side; one of the two is needed",
        )
    },
    Route {
        query: &[
            ("refused", "`true`: what was refused, and not what was done"),
            ("before", "only entries with a lower number"),
            (
                "limit",
                "how many at the most; 100 when absent, 1000 at the most",
            ),
        ],
        ..get(
            "audit",
            Act::Audit,
            "Who changed what by a command, the latest first",
        )
    },
];

/// What a request leads to.
#[derive(Debug)]
pub(super) enum Found {
    /// This, with its argument.
    Route(&'static Route, String),
    /// A path that knows these methods only.
    OtherMethod(String),
    /// Nothing.
    Nothing,
}

impl Route {
    /// The argument in a path, if it is this one's; empty for one without.
    fn argument_in(&self, path: &str) -> Option<String> {
        let Some((before, after)) = self.path.split_once(ARGUMENT) else {
            return (self.path == path).then(String::new);
        };
        let argument = path.strip_prefix(before)?.strip_suffix(after)?;
        (!argument.is_empty()).then(|| argument.to_owned())
    }
}

/// The route of a request.
pub(super) fn find(method: &str, path: &str) -> Found {
    let mut methods = Vec::new();
    for route in ROUTES {
        if let Some(argument) = route.argument_in(path) {
            if route.method == method {
                return Found::Route(route, argument);
            }
            methods.push(route.method);
        }
    }
    match methods.is_empty() {
        true => Found::Nothing,
        false => Found::OtherMethod(methods.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_found_by_path_and_method() {
        let act = |method: &str, path: &str| match find(method, path) {
            Found::Route(route, argument) => Some((route.act, argument)),
            _ => None,
        };
        assert_eq!(act("GET", "status"), Some((Act::Status, String::new())));
        assert_eq!(
            act("DELETE", "portals/!a/b:c.org"),
            Some((Act::EndPortal, "!a/b:c.org".into()))
        );
        assert_eq!(
            act("POST", "dead_letters/7/resend"),
            Some((Act::Resend, "7".into()))
        );
        assert_eq!(act("GET", "portals/"), None);
        assert_eq!(act("GET", "Status"), None);
        assert!(
            matches!(find("PUT", "portals"), Found::OtherMethod(known) if known == "GET, POST")
        );
        assert!(matches!(find("GET", "nothing"), Found::Nothing));
    }
}
