//! Who and what the names in a message mean on Matrix.

use std::collections::{BTreeSet, HashMap, HashSet};

use rocketchat_markdown::{Block, Inline};
use ruma::{OwnedMxcUri, OwnedRoomOrAliasId};

use crate::bridge::{Bridge, Failure};
use crate::convert::to_matrix::{Channel, Directory, Person};
use crate::rocketchat::documents::{Mention, Message as RocketMessage, UserRef};
use crate::store::PortalKind;

/// How many people that have no ghost yet get one because a message mentions them.
const MOST_NEW_GHOSTS: usize = 20;

/// How many different custom emoji of a message are looked up.
const MOST_EMOJI: usize = 20;

/// The names of one message.
#[derive(Debug, Default)]
pub(super) struct People {
    users: HashMap<String, Person>,
    everybody: HashSet<String>,
    channels: HashMap<String, Channel>,
    emoji: HashMap<String, OwnedMxcUri>,
}

impl Directory for People {
    fn user(&self, username: &str) -> Option<Person> {
        self.users.get(username).cloned()
    }

    fn calls_everybody(&self, name: &str) -> bool {
        self.everybody.contains(name)
    }

    fn channel(&self, name: &str) -> Option<Channel> {
        self.channels.get(name).cloned()
    }

    fn custom_emoji(&self, short_code: &str) -> Option<OwnedMxcUri> {
        self.emoji.get(short_code).cloned()
    }

    fn emoji(&self, short_code: &str) -> Option<String> {
        rocketchat_emoji::unicode(short_code).map(str::to_owned)
    }
}

impl Bridge {
    /// Finds out what the names in a message mean: only those that the server took
    /// for mentions mean anybody.
    pub(super) async fn people_of(
        &self,
        message: &RocketMessage,
        blocks: &[Block],
    ) -> Result<People, Failure> {
        let mut people = People::default();
        let mut new_ghosts = 0;
        for mention in &message.mentions {
            let Some(username) = mention.username.as_ref().map(|name| name.as_str()) else {
                continue;
            };
            if mention.is_everybody() {
                people.everybody.insert(username.to_owned());
                continue;
            }
            if mention.kind.as_deref() == Some("team") {
                continue;
            }
            let is_new = self.store.ghost(&mention.id)?.is_none()
                && self.store.behind_puppet(&mention.id)?.is_none();
            if is_new {
                new_ghosts += 1;
            }
            if is_new && new_ghosts > MOST_NEW_GHOSTS {
                continue;
            }
            if let Some(person) = self.person_mentioned(mention).await? {
                people.users.insert(username.to_owned(), person);
            }
        }
        for channel in &message.channels {
            let Some(name) = &channel.name else { continue };
            // A private group is nobody's to hear of who is not in it.
            if let Some(found) = self.store.own_portal(&channel.id)?
                && found.kind == PortalKind::Channel
            {
                people.channels.insert(
                    name.clone(),
                    Channel {
                        alias_or_id: OwnedRoomOrAliasId::from(found.room_id),
                        via: vec![self.config.homeserver.server_name.clone()],
                        name: name.clone(),
                    },
                );
            }
        }
        for name in custom_emoji_in(blocks) {
            if let Some(emoji) = self.custom_emoji(&name).await? {
                people.emoji.insert(name, emoji.image);
            }
        }
        Ok(people)
    }

    async fn person_mentioned(&self, mention: &Mention) -> Result<Option<Person>, Failure> {
        if let Some(user_id) = self.store.behind_puppet(&mention.id)? {
            let name = mention
                .name
                .clone()
                .unwrap_or_else(|| user_id.localpart().to_owned());
            return Ok(Some(Person { user_id, name }));
        }
        if mention.id == *self.rocket().await.bot.user_id() {
            return Ok(None);
        }
        let user = UserRef {
            id: mention.id.clone(),
            username: mention.username.clone(),
            name: mention.name.clone(),
        };
        let ghost = self.ghost_of(&user).await?;
        let name = mention.name.clone().unwrap_or(ghost.username);
        Ok(Some(Person {
            user_id: ghost.user_id,
            name,
        }))
    }
}

/// Short codes that every Rocket.Chat does not know: perhaps this one's own.
fn custom_emoji_in(blocks: &[Block]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut waiting_blocks: Vec<&Block> = blocks.iter().collect();
    let mut waiting: Vec<&Inline> = Vec::new();
    while let Some(block) = waiting_blocks.pop() {
        match block {
            Block::Paragraph(inlines) | Block::BigEmoji(inlines) => waiting.extend(inlines),
            Block::Heading { content, .. } => waiting.extend(content),
            Block::Quote(inner) | Block::Spoiler(inner) => waiting_blocks.extend(inner),
            Block::UnorderedList(items) | Block::OrderedList(items) => {
                waiting.extend(items.iter().flat_map(|item| &item.content));
            }
            Block::Tasks(tasks) => waiting.extend(tasks.iter().flat_map(|task| &task.content)),
            Block::Table { head, rows } => {
                waiting.extend(head.iter().chain(rows.iter().flatten()).flatten());
            }
            Block::LineBreak | Block::Code { .. } | Block::Katex(_) | Block::HorizontalRule => {}
        }
    }
    while let Some(inline) = waiting.pop() {
        match inline {
            Inline::Bold(inner)
            | Inline::Italic(inner)
            | Inline::Strike(inner)
            | Inline::Spoiler(inner) => waiting.extend(inner),
            Inline::Link { label, .. } | Inline::Image { label, .. } => waiting.extend(label),
            Inline::Emoji { short_code, .. }
                if found.len() < MOST_EMOJI && !rocketchat_emoji::is_known(short_code) =>
            {
                found.insert(short_code.clone());
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use rocketchat_markdown::{Options, parse};

    use super::*;

    #[test]
    fn only_emoji_that_not_everybody_knows_are_looked_up() {
        let text = "*:party_parrot:* :smile:\n> :quoted_one:\n- item :in_list:\n`:code:`";
        let found = custom_emoji_in(&parse(text, &Options::default()));
        let found: Vec<_> = found.iter().map(String::as_str).collect();
        assert_eq!(found, ["in_list", "party_parrot", "quoted_one"]);
    }
}
