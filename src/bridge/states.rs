//! How it goes, for people and programs that ask.

use super::context::Context;
use super::{Bridge, Failure};
use crate::rocketchat::RocketUserId;
use crate::store::{Portal, PortalKind, Puppet, StoreError};

/// Longer names of people and rooms are cut where the bridge says them, in characters.
const LONGEST_NAME: usize = 80;

/// What somebody else wrote, as part of what the bridge says: on one line, without what
/// would end a line or a piece of code or cannot be seen, and not all of what is long.
pub fn one_line(text: &str, most: usize) -> String {
    let mut line: String = text
        .chars()
        .map(|c| if c.is_whitespace() { ' ' } else { c })
        .filter(|c| !c.is_control() && *c != '`' && !is_invisible(*c))
        .take(most + 1)
        .collect();
    if line.chars().count() > most {
        line.pop();
        line.push('…');
    }
    line.trim().to_owned()
}

/// Characters that are not seen, or that turn the direction of others around.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

/// How it goes with a portal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortalState {
    /// Which.
    pub portal: Portal,
    /// How many events of its Matrix room wait to be carried over.
    pub waiting: usize,
    /// How many of its messages were given up, of both sides.
    pub given_up: usize,
    /// Up to when its room on Rocket.Chat has been carried over (ms, its clock).
    pub carried_until: Option<i64>,
}

/// How it goes with the bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BridgeState {
    /// The homeserver can be reached, as far as known.
    pub matrix: bool,
    /// Rocket.Chat can be reached, and is listened to.
    pub rocketchat: bool,
    /// Which Rocket.Chat it is, once it was reached.
    pub version: String,
    /// How many channels and groups are mirrored.
    pub rooms: usize,
    /// How many direct messages are.
    pub directs: usize,
    /// How many events of Matrix wait.
    pub waiting: usize,
    /// How many messages were given up.
    pub given_up: usize,
    /// How many rooms of other homeservers are to be entered.
    pub joins: usize,
}

impl PortalState {
    /// For people, of one side.
    pub fn in_words(&self, on_rocketchat: bool) -> String {
        let portal = &self.portal;
        let with = match (on_rocketchat, &portal.kind) {
            (true, _) => format!("the room `{}` on Matrix", portal.room_id),
            (false, PortalKind::Channel) => format!("the channel #{} on Rocket.Chat", portal.name),
            (false, PortalKind::Group) => {
                format!("the private group {} on Rocket.Chat", portal.name)
            }
            (false, PortalKind::Direct { .. }) => {
                format!("a direct message on Rocket.Chat ({})", portal.name)
            }
        };
        let mut text = format!("This room is mirrored with {with}.");
        if self.waiting > 0 {
            text.push_str(&format!(" {} events from Matrix wait.", self.waiting));
        }
        if self.given_up > 0 {
            text.push_str(&format!(
                " {} messages could not be delivered: `failed` shows yours.",
                self.given_up
            ));
        }
        text
    }
}

impl Bridge {
    /// How it goes with a portal. Looks through what waits.
    ///
    /// # Errors
    /// When the store fails.
    pub fn state_of_portal(&self, portal: &Portal) -> Result<PortalState, StoreError> {
        let room = &portal.room_id;
        let waiting = self.store.inbox();
        let letters = self.store.dead_letters();
        Ok(PortalState {
            portal: portal.clone(),
            waiting: waiting
                .filter(|waiting| waiting.event.room_id == *room)
                .count(),
            given_up: letters
                .iter()
                .filter(|(_, letter)| letter.room_id == *room)
                .count(),
            carried_until: self.store.cursor(&portal.id)?,
        })
    }

    /// How it goes with the bridge.
    pub fn state_of_bridge(&self) -> BridgeState {
        let portals = self.store.portals();
        let directs = portals
            .iter()
            .filter(|portal| portal.kind.is_direct())
            .count();
        let version = self.rocket_if_there().map(|rocket| rocket.version);
        BridgeState {
            matrix: self.matrix_gate.is_open(),
            rocketchat: self.rocket_gate.is_open() && self.rooms.is_listening(),
            version: version.map_or_else(|| "was not reached yet".to_owned(), |v| v.to_string()),
            rooms: portals.len() - directs,
            directs,
            waiting: self.store.inbox_len(),
            given_up: self.store.dead_letters().len(),
            joins: self.store.remote_joins().len(),
        }
    }

    /// The portals that whoever asks may know of: administrators of the bridge all, others
    /// those that they are in, as far as the bridge knows.
    ///
    /// # Errors
    /// When the store fails.
    pub fn portals_known_to(&self, context: &Context) -> Result<Vec<Portal>, StoreError> {
        let mut portals = self.store.portals();
        if self.is_admin(context) {
            return Ok(portals);
        }
        let mut failed = None;
        portals.retain(|portal| {
            self.is_in_by_records(context, portal)
                .unwrap_or_else(|error| {
                    failed = Some(error);
                    false
                })
        });
        failed.map_or(Ok(portals), Err)
    }

    fn is_in_by_records(&self, context: &Context, portal: &Portal) -> Result<bool, StoreError> {
        if let Some(user) = context.matrix_user() {
            return Ok(portal.kind.direct_users().any(|there| there == user)
                || self.store.is_puppet_in_room(&portal.id, user)?);
        }
        let Some(id) = context.rocket_user() else {
            return Ok(false);
        };
        Ok(portal.kind.direct_peers().any(|peer| peer == id)
            || self.store.standing(&portal.id, id)?.is_member)
    }

    /// Whether a puppet's account is there and in use.
    ///
    /// # Errors
    /// When Rocket.Chat fails.
    pub async fn is_account_in_use(&self, puppet: &Puppet) -> Result<bool, Failure> {
        let rocket = self.rocket().await;
        let account = rocket.bot.user_by_id(&puppet.credentials.user_id).await?;
        Ok(account.is_some_and(|account| account.active))
    }

    /// People and public channels of Rocket.Chat with that name, a line each.
    ///
    /// # Errors
    /// When Rocket.Chat fails.
    pub async fn search_rocketchat(&self, text: &str) -> Result<Vec<String>, Failure> {
        let query = |field: &str| super::third_party::query(field, text);
        let mut lines = Vec::new();
        for found in self.find_people(&query("username")).await? {
            let name = found.pointer("/fields/username").and_then(|n| n.as_str());
            let user = found.get("userid").and_then(|id| id.as_str());
            if let (Some(name), Some(user)) = (name, user) {
                lines.push(format!("{name} — {user}"));
            }
        }
        for found in self.find_channels(&query("channel")).await? {
            let name = found.pointer("/fields/channel").and_then(|n| n.as_str());
            let alias = found.get("alias").and_then(|id| id.as_str());
            if let (Some(name), Some(alias)) = (name, alias) {
                lines.push(format!("#{name} — {alias}"));
            }
        }
        Ok(lines)
    }

    /// People and public rooms of Matrix with that text in their names, a line each: what
    /// the homeserver shows the ghost of whoever asks, who is not shown those that only the
    /// bridge shares rooms with.
    ///
    /// # Errors
    /// When a server fails.
    pub async fn search_matrix(
        &self,
        caller: &RocketUserId,
        text: &str,
    ) -> Result<Vec<String>, Failure> {
        const MOST_FOUND: u32 = 10;
        let rocket = self.rocket().await;
        let Some(person) = rocket.bot.user_by_id(caller).await? else {
            return Ok(Vec::new());
        };
        let ghost = self
            .ghost_of(&crate::rocketchat::documents::UserRef::from(&person))
            .await?;
        // Never closed.
        let _place = self.look_ups.acquire().await;
        let intent = self.as_ghost(&ghost);
        let mut lines = Vec::new();
        let people = match intent.find_users(text, MOST_FOUND).await {
            // Switched off there.
            Err(error) if error.is_forbidden() => Vec::new(),
            outcome => outcome?,
        };
        for found in people {
            if self.config.is_ours(&found.user_id) {
                continue;
            }
            let name = one_line(&found.display_name.unwrap_or_default(), LONGEST_NAME);
            lines.push(format!("`{}` {name}", found.user_id));
        }
        for found in intent.find_public_rooms(text, MOST_FOUND).await? {
            let name = one_line(&found.name.unwrap_or_default(), LONGEST_NAME);
            lines.push(format!(
                "`{}` {name} ({} people)",
                found.alias, found.members
            ));
        }
        Ok(lines)
    }
}

#[cfg(test)]
mod tests {
    use super::one_line;

    #[test]
    fn what_others_wrote_stays_on_its_line() {
        assert_eq!(one_line("Alice B.", 20), "Alice B.");
        assert_eq!(
            one_line("x\n\nYour `account`\u{202e} is\u{2060}locked", 80),
            "x  Your account islocked"
        );
        assert_eq!(one_line(&"ä".repeat(30), 4), "ääää…");
    }
}
