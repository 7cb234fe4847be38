//! Who may give the bridge which commands, and how many.

use ruma::UserId;
use serde::Deserialize;

use super::ConfigProblem;

/// What stands before an id of Rocket.Chat.
const ON_ROCKETCHAT: &str = "rocketchat:";

/// What stands before a role there.
const ROLE: &str = "role:";

/// Commands: who may give which.
#[derive(Debug, Clone)]
pub struct CommandOptions {
    /// The first that fits decides.
    pub rules: Vec<Rule>,
    /// How many commands somebody may give in a minute, through all doors together.
    pub per_minute: usize,
    /// Whether the bridge sets `Message_AllowUnrecognizedSlashCommand` on Rocket.Chat.
    pub slash_as_text: bool,
}

/// Whether somebody may give some commands somewhere.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What it says where it fits.
    pub allow: bool,
    /// The commands by name; all when absent.
    #[serde(default)]
    commands: Option<Vec<String>>,
    /// `@user:server`, where `*` stands for any text; `rocketchat:<id of an account>`;
    /// `rocketchat:*`; `role:<role on Rocket.Chat>`. Everybody when absent.
    #[serde(default)]
    who: Option<Vec<String>>,
    /// `!id` of a Matrix room, `rocketchat:<id of a room>`. Anywhere when absent.
    #[serde(default)]
    rooms: Option<Vec<String>>,
}

/// Whoever gives a command, as rules see them.
#[derive(Debug, Clone, Default)]
pub struct Giver<'a> {
    /// Their Matrix user id.
    pub user: Option<&'a UserId>,
    /// Their account on Rocket.Chat.
    pub account: Option<&'a str>,
    /// Its roles on the server.
    pub roles: &'a [String],
    /// The ids of the room that they are in: that on Matrix as it is, that on Rocket.Chat
    /// after `rocketchat:`.
    pub rooms: &'a [String],
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct CommandsSection {
    rules: Vec<Rule>,
    per_minute: usize,
    slash_as_text: bool,
}

impl Default for CommandsSection {
    fn default() -> Self {
        Self {
            rules: Vec::new(),
            per_minute: 60,
            slash_as_text: false,
        }
    }
}

impl CommandOptions {
    /// What the first rule that fits says of a command: no; or yes, where it names the
    /// command. None when no rule fits, and when one allows without naming it: that takes
    /// nothing away, and gives nobody what is for administrators.
    pub fn allows(&self, command: &str, giver: &Giver<'_>) -> Option<bool> {
        let rule = self.rules.iter().find(|rule| rule.fits(command, giver))?;
        let is_named = rule.names().any(|name| name == command);
        match rule.allow {
            true => is_named.then_some(true),
            false => Some(false),
        }
    }
}

impl Rule {
    /// The commands that it names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.commands.iter().flatten().map(String::as_str)
    }

    fn fits(&self, command: &str, giver: &Giver<'_>) -> bool {
        let of = |list: &Option<Vec<String>>, fits: &dyn Fn(&str) -> bool| {
            list.as_ref()
                .is_none_or(|list| list.iter().any(|item| fits(item)))
        };
        of(&self.commands, &|name| name == "*" || name == command)
            && of(&self.who, &|who| giver.is(who))
            && of(&self.rooms, &|room| {
                giver.rooms.iter().any(|here| here == room)
            })
    }
}

impl Giver<'_> {
    fn is(&self, who: &str) -> bool {
        if let Some(role) = who.strip_prefix(ROLE) {
            return self.account.is_some() && self.roles.iter().any(|has| has == role);
        }
        if let Some(id) = who.strip_prefix(ON_ROCKETCHAT) {
            return self.account.is_some_and(|own| id == "*" || id == own);
        }
        self.user.is_some_and(|user| is_like(who, user.as_str()))
    }
}

/// Whether a text is as the pattern says, in which `*` stands for any text.
fn is_like(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(rest) = text.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    let mut rest = rest;
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = rest.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Checks the section.
pub(super) fn commands(section: CommandsSection) -> Result<CommandOptions, ConfigProblem> {
    for rule in &section.rules {
        for who in rule.who.iter().flatten() {
            let is_known = who.starts_with(ROLE)
                || who.starts_with(ON_ROCKETCHAT)
                || (who.starts_with('@') && who.contains(':'));
            if !is_known {
                return Err(ConfigProblem::value(
                    "commands.rules",
                    who,
                    "in `who`: \"@user:server\" (with * for any text), \"rocketchat:<id of an account>\", \"rocketchat:*\" or \"role:<role on Rocket.Chat>\"",
                ));
            }
        }
        for room in rule.rooms.iter().flatten() {
            if !room.starts_with('!') && !room.starts_with(ON_ROCKETCHAT) {
                return Err(ConfigProblem::value(
                    "commands.rules",
                    room,
                    "in `rooms`: the id of a Matrix room (\"!…\") or \"rocketchat:<id of a room>\"",
                ));
            }
        }
    }
    if section.per_minute == 0 {
        return Err(ConfigProblem::value(
            "commands.per_minute",
            "0",
            "a number from 1 on; to let nobody give commands, add the rule `- allow: false`",
        ));
    }
    Ok(CommandOptions {
        rules: section.rules,
        per_minute: section.per_minute,
        slash_as_text: section.slash_as_text,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use ruma::user_id;

    use super::*;

    fn options(rules: &str) -> CommandOptions {
        commands(CommandsSection {
            rules: serde_saphyr::from_str(rules).unwrap(),
            ..CommandsSection::default()
        })
        .unwrap()
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let options = options(
            r#"
- { allow: true, commands: [dm], who: ["@bob:elsewhere.org"] }
- { allow: false, who: ["@*:elsewhere.org", "role:guest"] }
- { allow: true, commands: [list, join], who: ["rocketchat:u1", "role:admin"] }
- { allow: false, commands: [kick], rooms: ["!r:b.org", "rocketchat:GENERAL"] }
"#,
        );
        let on_matrix = |user| Giver {
            user: Some(user),
            ..Giver::default()
        };
        let bob = on_matrix(user_id!("@bob:elsewhere.org"));
        assert_eq!(options.allows("dm", &bob), Some(true));
        assert_eq!(options.allows("help", &bob), Some(false));
        let alice = on_matrix(user_id!("@alice:b.org"));
        assert_eq!(options.allows("help", &alice), None);
        let spoofed = on_matrix(user_id!("@elsewhere.org:b.org"));
        assert_eq!(options.allows("help", &spoofed), None);
        let roles = ["admin".to_owned()];
        let rooms = ["rocketchat:GENERAL".to_owned()];
        let there = Giver {
            account: Some("u2"),
            roles: &roles,
            rooms: &rooms,
            ..Giver::default()
        };
        assert_eq!(options.allows("list", &there), Some(true));
        assert_eq!(options.allows("kick", &there), Some(false));
        assert_eq!(options.allows("dm", &there), None);
        let one = Giver {
            account: Some("u1"),
            ..Giver::default()
        };
        assert_eq!(options.allows("join", &one), Some(true));
        assert_eq!(options.allows("kick", &one), None);
    }

    #[test]
    fn who_is_let_in_gets_nothing_that_is_for_administrators() {
        let options = options(
            r#"
- { allow: true, who: ["@*:b.org"] }
- { allow: true, commands: ["*"], who: ["@*:c.org"] }
- { allow: false }
"#,
        );
        for (user, said) in [
            (user_id!("@a:b.org"), None),
            (user_id!("@a:c.org"), None),
            (user_id!("@a:d.org"), Some(false)),
        ] {
            let giver = Giver {
                user: Some(user),
                ..Giver::default()
            };
            for command in ["join", "help"] {
                assert_eq!(options.allows(command, &giver), said, "{user} {command}");
            }
        }
    }

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text, fits) in [
            ("@*:b.org", "@a:b.org", true),
            ("@*:b.org", "@a:c.b.org", false),
            ("@a*:*.org", "@alice:b.org", true),
            ("@a:b.org", "@a:b.org", true),
            ("@a:b.org", "@a:b.organ", false),
            ("@*", "@a:b.org", true),
            ("@a*a:b.org", "@a:b.org", false),
        ] {
            assert_eq!(is_like(pattern, text), fits, "{pattern} {text}");
        }
    }

    #[test]
    fn what_means_nobody_is_refused() {
        for who in ["bob", "b.org", "*"] {
            let rule = Rule {
                allow: true,
                commands: None,
                who: Some(vec![who.to_owned()]),
                rooms: None,
            };
            let section = CommandsSection {
                rules: vec![rule],
                ..CommandsSection::default()
            };
            assert!(commands(section).is_err(), "{who}");
        }
    }
}
