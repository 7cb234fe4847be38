//! What people of another Matrix room of the same channel do. To a portal that is news
//! as what people of Rocket.Chat do, and comes by the same way: the records of the other
//! portals tell whose it is. The bot says it, under that person's name: a ghost stands for
//! somebody of Rocket.Chat, and nobody's words are put into another's mouth.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use ruma::{OwnedMxcUri, OwnedRoomId, OwnedUserId, RoomId, UserId};
use serde_json::json;

use super::Document;
use crate::bridge::known_members::Member;
use crate::bridge::lane::Place;
use crate::bridge::perseverance::Attempt;
use crate::bridge::server_rules::{SERVER_ACL, ServerRules};
use crate::bridge::{Bridge, Failure, derived, marker};
use crate::matrix;
use crate::rocketchat::documents::Message as RocketMessage;
use crate::rocketchat::{FileId, RocketMessageId};
use crate::store::{Ghost, Message, Origin, Portal, PortalId, StoreError};

/// Somebody who wrote in another Matrix room of the same channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::bridge) struct Elsewhere {
    /// Who.
    pub user: OwnedUserId,
    /// In which room.
    room: OwnedRoomId,
    /// As which event, as far as that is known.
    said: Option<ruma::OwnedEventId>,
}

/// How somebody is shown in a room that they are not in (MSC4144).
#[derive(Debug, Clone)]
pub(super) struct Shown {
    /// The same for the same person.
    pub id: String,
    /// Their name, and their whole id: names are nobody's own.
    pub name: String,
    /// Their picture.
    pub picture: Option<OwnedMxcUri>,
}

/// What keeps somebody out of a room for good.
enum Ban {
    /// They are banned.
    Theirs(Arc<Member>),
    /// Their server is kept out.
    OfServer(Arc<ServerRules>),
}

impl Ban {
    fn is_told(&self, user: &UserId) -> bool {
        match self {
            Self::Theirs(member) => member.is_told.load(Ordering::Relaxed),
            Self::OfServer(rules) => rules.is_told(user),
        }
    }

    fn note_told(&self, user: &UserId) {
        match self {
            Self::Theirs(member) => member.is_told.store(true, Ordering::Relaxed),
            Self::OfServer(rules) => rules.note_told(user),
        }
    }
}

impl Bridge {
    /// The portals that the room of this one has besides it.
    pub(in crate::bridge) fn other_portals(
        &self,
        portal: &Portal,
    ) -> Result<Vec<Portal>, StoreError> {
        let mut portals = self.store.portals_of(&portal.rid)?;
        portals.retain(|other| other.id != portal.id);
        Ok(portals)
    }

    /// The portals besides this one whose records tell what came from their Matrix rooms:
    /// also those that end, until their records go.
    pub(in crate::bridge) fn sources_besides(
        &self,
        portal: &Portal,
    ) -> Result<Vec<Portal>, StoreError> {
        let mut sources = self.other_portals(portal)?;
        for ending in self.store.endings_of(&portal.rid)? {
            let ended = ending.portal;
            if ended.id != portal.id && sources.iter().all(|known| known.id != ended.id) {
                sources.push(ended);
            }
        }
        Ok(sources)
    }

    /// Waits until what was noted of something that is about to be posted is on disk, where
    /// other portals have only that to tell whose it is.
    pub(in crate::bridge) async fn flush_for_others(&self, portal: &Portal) -> Result<(), Failure> {
        if !self.other_portals(portal)?.is_empty() {
            self.store.flushed().await?;
        }
        Ok(())
    }

    /// Who wrote a message in another Matrix room of the channel; none when it comes from
    /// Rocket.Chat, from this portal's own room, or from the bridge itself.
    pub(in crate::bridge) async fn elsewhere(
        &self,
        portal: &Portal,
        message: &RocketMessage,
    ) -> Result<Option<Elsewhere>, Failure> {
        if message.hidden || message.federated || self.is_for_matrix(message).await? {
            return Ok(None);
        }
        let own = self.store.message(&portal.id, &message.id)?;
        if own.as_ref().is_some_and(|own| own.origin == Origin::Matrix) {
            return Ok(None);
        }
        for other in self.sources_besides(portal)? {
            let known = self.store.message(&other.id, &message.id)?;
            if let Some(known) = known.filter(|known| known.origin == Origin::Matrix) {
                return Ok(Some(Elsewhere {
                    user: known.sender,
                    room: known.room_id,
                    said: known.events.into_iter().next(),
                }));
            }
        }
        // The other portal has ended since: then it was shown here, or is kept to be.
        let was_shown = own.is_some_and(|own| own.sender == self.config.appservice.bot);
        let user = match was_shown {
            true => self.store.behind_puppet(&message.u.id)?,
            false => {
                let (room, id) = (&portal.room_id, message.id.as_str());
                self.store
                    .letter_of(room, id)?
                    .and_then(|letter| letter.sender)
            }
        };
        Ok(user.map(|user| Elsewhere {
            user,
            room: portal.room_id.clone(),
            said: None,
        }))
    }

    /// A document's place in the order of a portal's room. What an account posts for many is
    /// each one's own, under whatever name: whose it is the records of the other rooms know.
    pub(in crate::bridge) fn place_in(&self, portal: &PortalId, document: &Document) -> Place {
        let mut place = document.place();
        if let Document::Message(message) = document
            && message.alias.is_some()
        {
            let of = self.posted_for(portal, message).unwrap_or_else(|error| {
                tracing::error!(%portal, %error, "whose a message is cannot be told");
                None
            });
            place.people.extend(of.map(|user| user.to_string()));
        }
        place
    }

    /// For whom in another Matrix room a message was posted, as far as that is noted.
    fn posted_for(
        &self,
        portal: &PortalId,
        message: &RocketMessage,
    ) -> Result<Option<OwnedUserId>, StoreError> {
        for other in self.store.portals_of(&message.rid)? {
            let known = self.store.message(&other.id, &message.id)?;
            if other.id != *portal
                && let Some(known) = known.filter(|known| known.origin == Origin::Matrix)
            {
                return Ok(Some(known.sender));
            }
        }
        // What brings a file has its id from the server, and a record when that is known.
        let upload = match &message.file {
            Some(file) => FileId::parse(file.id.as_str()).ok(),
            None => None,
        };
        let post = match upload {
            Some(file) => self.store.file_post_of_upload(&file)?,
            None => None,
        };
        Ok(post.map(|post| post.draft.sender))
    }

    /// How many bridges carried a message on before this one shows it.
    pub(super) fn hops_before(
        &self,
        portal: &Portal,
        message: &RocketMessage,
    ) -> Result<u32, StoreError> {
        let mut most = 0;
        for other in self.sources_besides(portal)? {
            let known = self.store.message(&other.id, &message.id)?;
            most = most.max(known.map_or(0, |known| known.hops));
        }
        Ok(most)
    }

    /// Makes sure that it is known whose file a message of ours brings, also when the queue
    /// of the portal that it came from has not come so far. Whether it is one too many.
    pub(super) async fn note_files_elsewhere(
        &self,
        portal: &Portal,
        message: &RocketMessage,
        attempt: Attempt,
    ) -> Result<bool, Failure> {
        if message.file.is_none() {
            return Ok(false);
        }
        for other in self.sources_besides(portal)? {
            if self.note_own_file(&other, message, attempt).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether somebody who writes elsewhere is banned from this portal's room, by themselves
    /// or with their whole server: nobody gets round that through another room. They are
    /// told, once for each ban.
    pub(super) async fn is_banned_here(
        &self,
        portal: &Portal,
        them: &Elsewhere,
    ) -> Result<bool, Failure> {
        let user = &them.user;
        let Some(ban) = self.ban_of(portal, user).await? else {
            return Ok(false);
        };
        tracing::info!(room = %portal.room_id, %user, "who is banned from the room is not shown in it");
        // In a room that is mirrored no more nobody can be told.
        if them.room == portal.room_id || ban.is_told(user) {
            return Ok(true);
        }
        let why = match &ban {
            Ban::Theirs(_) => format!("{user} is banned from another room of this channel"),
            Ban::OfServer(_) => format!(
                "Another room of this channel keeps out everybody of {}",
                user.server_name()
            ),
        };
        let mut content = json!({
            "msgtype": "m.notice",
            "body": format!("{why}: what {user} writes here is not shown there."),
            "m.mentions": {},
        });
        if let Some(said) = &them.said {
            content["m.relates_to"] = json!({ "m.in_reply_to": { "event_id": said } });
        }
        marker::stamp_as_own(&mut content);
        let txn = match &ban {
            Ban::Theirs(member) => derived::notice_id(&member.event_id, "banned elsewhere"),
            Ban::OfServer(rules) => {
                let about = format!("server kept out elsewhere {user}");
                derived::notice_id(&rules.event_id, &about)
            }
        };
        let bot = self.matrix.bot();
        match bot
            .send(&them.room, "m.room.message", &content, &txn, None)
            .await
        {
            Err(error) if error.is_forbidden() || error.is_not_found() => {}
            outcome => drop(outcome?),
        }
        ban.note_told(user);
        Ok(true)
    }

    /// What keeps somebody out of a portal's room for good, if anything does.
    async fn ban_of(&self, portal: &Portal, user: &UserId) -> Result<Option<Ban>, Failure> {
        let member = self.member_of(&portal.room_id, user).await?;
        if let Some(ban) = member.filter(|member| member.membership == "ban") {
            return Ok(Some(Ban::Theirs(ban)));
        }
        let server = user.server_name();
        if *server == *self.config.homeserver.server_name {
            // A homeserver lets its own people in by other rules.
            return Ok(None);
        }
        let rules = self.rules_of(&portal.room_id).await?;
        let rules = rules.filter(|rules| rules.keep_out(server));
        Ok(rules.map(Ban::OfServer))
    }

    /// Which servers a room keeps out, as the homeserver said last.
    async fn rules_of(&self, room: &RoomId) -> Result<Option<Arc<ServerRules>>, matrix::Error> {
        let ask = async || {
            tracing::debug!(%room, "asking which servers a room keeps out");
            let event = self.matrix.bot().state_event(room, SERVER_ACL, "").await?;
            Ok(event.map(|event| ServerRules::of(event.event_id, &event.content)))
        };
        self.known_rules.get(room.to_owned(), ask).await
    }

    /// Who somebody is in a room, as the homeserver said last.
    async fn member_of(
        &self,
        room: &RoomId,
        user: &UserId,
    ) -> Result<Option<Arc<Member>>, matrix::Error> {
        let ask = async || {
            tracing::debug!(%room, %user, "asking who somebody is in a room");
            let event = self
                .matrix
                .bot()
                .state_event(room, "m.room.member", user.as_str())
                .await?;
            Ok(event.map(|event| Member::of(event.event_id, &event.content)))
        };
        let place = (room.to_owned(), user.to_owned());
        self.known_members.get(place, ask).await
    }

    /// Tells who wrote something elsewhere that it did not reach this portal's room, as an
    /// answer to what they wrote.
    pub(super) async fn tell_elsewhere(
        &self,
        portal: &Portal,
        them: &Elsewhere,
        message: &RocketMessage,
        why: &str,
    ) -> Result<(), Failure> {
        if them.room == portal.room_id {
            // Their room is mirrored no more.
            tracing::warn!(message = %message.id, user = %them.user, "its author can no longer be told");
            return Ok(());
        }
        let mut content = json!({
            "msgtype": "m.notice",
            "body": format!(
                "This did not reach {}, another room on Matrix of this channel. {why} It is \
                 kept: `!rc resend` tries again.",
                portal.room_id
            ),
            "m.mentions": {},
        });
        if let Some(said) = &them.said {
            content["m.relates_to"] = json!({ "m.in_reply_to": { "event_id": said } });
        }
        marker::stamp_as_own(&mut content);
        let revision = super::revision(message).to_string();
        let about = ["not said here", message.id.as_str(), &revision];
        let txn = derived::state_notice_id(&portal.id, &about);
        let bot = self.matrix.bot();
        match bot
            .send(&them.room, "m.room.message", &content, &txn, None)
            .await
        {
            Err(error) if error.is_forbidden() || error.is_not_found() => {
                tracing::warn!(room = %them.room, user = %them.user, %error, "its author cannot be told");
            }
            outcome => drop(outcome?),
        }
        Ok(())
    }

    /// The bot, as one who says what others wrote.
    pub(super) async fn bot_as_ghost(&self) -> Ghost {
        let rocket = self.rocket().await;
        Ghost {
            rocket_id: rocket.bot.user_id().clone(),
            user_id: self.config.appservice.bot.clone(),
            username: self.config.appservice.bot.localpart().to_owned(),
        }
    }

    /// How somebody is shown who wrote elsewhere, by their profile in that room.
    pub(super) async fn shown_here(&self, them: &Elsewhere) -> Result<Shown, Failure> {
        let member = match self.member_of(&them.room, &them.user).await {
            // The bot is no longer there: the id is enough.
            Err(error) if error.is_forbidden() || error.is_not_found() => None,
            outcome => outcome?,
        };
        let member = member.as_deref();
        let name = match member.and_then(|member| member.name.as_deref()) {
            Some(name) => {
                let name = crate::convert::to_matrix::safe_name(name);
                format!("{} ({})", super::content::shortened(&name), them.user)
            }
            None => them.user.to_string(),
        };
        Ok(Shown {
            id: derived::profile_id(them.user.as_str()),
            name,
            picture: member.and_then(|member| member.picture.clone()),
        })
    }

    /// Who gave a reaction in the Matrix rooms of these portals. Whoever asks holds the lock
    /// on the message's reactions.
    fn givers_in(
        &self,
        portals: Vec<Portal>,
        message: &RocketMessageId,
        emoji: &str,
        username: &str,
    ) -> Result<Vec<OwnedUserId>, StoreError> {
        let mut givers = Vec::new();
        for other in portals {
            let reactions = self.store.reactions(&other.id, message)?;
            let given = reactions.given.into_iter().filter(|given| {
                given.origin == Origin::Matrix && given.emoji == emoji && given.username == username
            });
            givers.extend(given.map(|given| given.user));
        }
        Ok(givers)
    }

    /// Whether a reaction was given elsewhere; none where it was, and only by people who are
    /// banned from this portal's room.
    pub(super) async fn shows_reaction_of_elsewhere(
        &self,
        portal: &Portal,
        message: &RocketMessageId,
        emoji: &str,
        username: &str,
    ) -> Result<Option<bool>, Failure> {
        let sources = self.sources_besides(portal)?;
        let givers = self.givers_in(sources, message, emoji, username)?;
        if givers.is_empty() {
            return Ok(Some(false));
        }
        for giver in &givers {
            if self.ban_of(portal, giver).await?.is_none() {
                return Ok(Some(true));
            }
        }
        Ok(None)
    }

    /// Whether the one who gave a reaction gives it in another room as well: Rocket.Chat has
    /// one of each person, from wherever it came.
    pub(in crate::bridge) fn is_also_given_elsewhere(
        &self,
        portal: &Portal,
        known: &Message,
        reaction: &crate::store::Reaction,
    ) -> Result<bool, Failure> {
        let (emoji, username) = (&reaction.emoji, &reaction.username);
        let others = self.other_portals(portal)?;
        let givers = self.givers_in(others, &known.id, emoji, username)?;
        Ok(!givers.is_empty())
    }
}
