//! Pictures of channels and groups, both ways. Direct messages have none: the face of
//! the other person serves. Rooms that existed on both sides keep theirs.

use std::sync::Arc;

use ruma::OwnedEventId;
use serde_json::{Value, json};

use super::Face;
use super::pictures::{MatrixPicture, NotShown, sniffed};
use crate::bridge::{Bridge, Failure};
use crate::media::picture::Picture;
use crate::store::{
    InboxEvent, PictureWish, Portal, PortalId, PortalKind, RoomPicture, StoreError,
};

/// The state that holds a room's picture.
const PICTURE: &str = "m.room.avatar";

/// How often a picture that somebody on Matrix has set is tried, each time for as long
/// as anything is; a quarter of an hour lies between two.
const MOST_FAILURES: u32 = 4;

/// The address in the content of a room's picture; none is no picture.
fn url_in(content: Option<&Value>) -> Option<String> {
    let url = content?.get("url")?.as_str()?;
    (!url.is_empty()).then(|| url.to_owned())
}

impl Bridge {
    /// Somebody on Matrix has given a room a picture, or taken it away.
    pub(in crate::bridge) fn on_room_picture(
        &self,
        event: &InboxEvent,
        json: &Value,
        content: &Value,
    ) -> Result<(), StoreError> {
        let Some(portal) = self.store.portal_of_room(&event.room_id)? else {
            return Ok(());
        };
        if json.get("state_key").and_then(Value::as_str) != Some("") {
            return Ok(());
        }
        self.wish_for_picture(&portal, event, url_in(Some(content)))
    }

    /// Somebody has redacted the event that gave a room its picture.
    pub(in crate::bridge) fn on_room_picture_redacted(
        &self,
        portal: &Portal,
        event: &InboxEvent,
    ) -> Result<(), StoreError> {
        self.wish_for_picture(portal, event, None)
    }

    /// Whether an event shows a room's picture.
    pub(in crate::bridge) fn shows_picture(
        &self,
        portal: &Portal,
        event: &ruma::EventId,
    ) -> Result<bool, StoreError> {
        let known = self.store.room_picture(&portal.id)?;
        let wished = known.wish.as_ref().map(|wish| &wish.event);
        Ok([known.event.as_ref(), wished].contains(&Some(&event.to_owned())))
    }

    /// Notes it, so that messages need not wait until it is done.
    fn wish_for_picture(
        &self,
        portal: &Portal,
        event: &InboxEvent,
        url: Option<String>,
    ) -> Result<(), StoreError> {
        if portal.plumbed || matches!(portal.kind, PortalKind::Direct { .. }) {
            return Ok(());
        }
        let wish = PictureWish {
            event: event.event_id.clone(),
            sender: event.sender.clone(),
            url,
            failures: 0,
        };
        self.store
            .amend_room_picture(&portal.id, |stored| stored.wish = Some(wish))?;
        self.compare_room_picture(&portal.id);
        Ok(())
    }

    /// A room may have another picture.
    pub(in crate::bridge) fn compare_room_picture(&self, portal: &PortalId) {
        self.faces.of_rocketchat.add(Face::Room(portal.clone()));
    }

    /// Makes both sides of a portal show the same picture.
    pub(super) async fn look_at_room(self: &Arc<Self>, id: &PortalId) -> Result<(), Failure> {
        let done = self.persevere(|_| self.agree_on_picture(id)).await;
        let Err(failure) = done else { return Ok(()) };
        let Some(wish) = self.store.room_picture(id)?.wish else {
            return Err(failure);
        };
        let failures = wish.failures + 1;
        if failures < MOST_FAILURES {
            self.store.amend_room_picture(id, |stored| {
                if let Some(stored) = &mut stored.wish
                    && stored.event == wish.event
                {
                    stored.failures = failures;
                }
            })?;
            return Err(failure);
        }
        self.persevere(async |_| {
            let Some(portal) = self.store.portal(id)? else {
                return Ok(());
            };
            let why = failure.person_text();
            self.put_picture_back(&portal, &wish, &why).await
        })
        .await
    }

    async fn agree_on_picture(self: &Arc<Self>, id: &PortalId) -> Result<(), Failure> {
        let Some(portal) = self.store.portal(id)? else {
            return Ok(());
        };
        if portal.plumbed || matches!(portal.kind, PortalKind::Direct { .. }) {
            return Ok(());
        }
        if let Some(wish) = self.store.room_picture(id)?.wish {
            self.grant(&portal, &wish).await?;
        }
        self.show_room_picture(&portal).await
    }

    /// Carries a picture over that somebody on Matrix has set: with their own rights on
    /// Rocket.Chat. Where these do not suffice the picture that the room has is put
    /// back, so that both sides show the same, and the person is told.
    async fn grant(&self, portal: &Portal, wish: &PictureWish) -> Result<(), Failure> {
        let known = self.store.room_picture(&portal.id)?;
        let shown = self.shown_on_matrix(portal).await?;
        // Something newer is there by now; or it is the picture that Rocket.Chat has.
        if shown != wish.url || wish.url == known.url {
            return Ok(self.finish(portal, wish, |stored| {
                if shown == known.url {
                    stored.event = Some(wish.event.clone());
                }
            })?);
        }
        let picture = match &wish.url {
            None => None,
            Some(url) => match self.picture_of_matrix(url).await {
                Ok(picture) => Some(picture),
                Err(NotShown::Failed(failure)) if !failure.is_permanent() => return Err(failure),
                Err(why) => {
                    tracing::info!(rid = %portal.rid, %why, "a room's picture cannot be shown on Rocket.Chat");
                    let why = "It is no picture that Rocket.Chat can show.";
                    return self.put_picture_back(portal, wish, why).await;
                }
            },
        };
        match self.set_room_picture(portal, wish, picture.as_ref()).await {
            Ok(hash) => {
                tracing::info!(rid = %portal.rid, "a room has its picture from Matrix");
                Ok(self.finish(portal, wish, |stored| {
                    stored.url = wish.url.clone();
                    stored.hash = hash;
                    stored.event = Some(wish.event.clone());
                })?)
            }
            Err(failure) if failure.is_permanent() => {
                tracing::info!(rid = %portal.rid, %failure, "a room's picture from Matrix is refused");
                let why = failure.person_text();
                self.put_picture_back(portal, wish, &why).await
            }
            Err(failure) => Err(failure),
        }
    }

    async fn shown_on_matrix(&self, portal: &Portal) -> Result<Option<String>, Failure> {
        let bot = self.matrix.bot();
        let content = bot.state(&portal.room_id, PICTURE, "").await?;
        Ok(url_in(content.as_ref()))
    }

    /// Gives a room a picture on Rocket.Chat as the person who wishes it; the hash of
    /// what the server made of it. By that it is recognised when it comes back: its
    /// `avatarETag` the server gives half a second later (6.14), when somebody else may
    /// have set another. What does not resemble it is such another, and has to reach
    /// Matrix: then there is no hash.
    async fn set_room_picture(
        &self,
        portal: &Portal,
        wish: &PictureWish,
        picture: Option<&Picture>,
    ) -> Result<Option<String>, Failure> {
        let rid = &portal.rid;
        let puppet = self.account_in(portal, &wish.sender).await?;
        self.bring_puppet_in(portal, &puppet).await?;
        let given = picture.map(|picture| (picture.bytes.as_slice(), picture.media_type));
        self.as_puppet(&puppet, |session| async move {
            session.set_room_avatar(rid, given).await
        })
        .await?;
        let Some(picture) = picture else {
            return Ok(None);
        };
        match self.rocket().await.bot.room_avatar(rid).await {
            Ok(made) => match made.and_then(sniffed) {
                Some(made) if self.is_made_of(&made, picture).await => Ok(Some(made.hash)),
                _ => Ok(None),
            },
            // It comes back to Matrix once then.
            Err(error) => {
                tracing::debug!(%rid, %error, "what became of a picture is not known");
                Ok(None)
            }
        }
    }

    /// Shows the picture on Matrix again that the room has on Rocket.Chat, and says why.
    async fn put_picture_back(
        &self,
        portal: &Portal,
        wish: &PictureWish,
        why: &str,
    ) -> Result<(), Failure> {
        let known = self.store.room_picture(&portal.id)?;
        let what = match wish.url {
            Some(_) => "The room's new picture",
            None => "That the room has no picture any more",
        };
        let text = format!("{what} did not reach Rocket.Chat, and it is as it was again. {why}");
        let bot = self.matrix.bot();
        self.say(&bot, &portal.room_id, &wish.event, "picture", &text)
            .await?;
        let mut event = known.event;
        if self.shown_on_matrix(portal).await? == wish.url {
            let content = match &known.url {
                Some(url) => json!({ "url": url }),
                None => json!({}),
            };
            event = match bot
                .send_state(&portal.room_id, PICTURE, "", &content, None)
                .await
            {
                Ok(event) => Some(event),
                // Somebody took the bot's power.
                Err(error) if error.is_forbidden() => event,
                Err(error) => return Err(error.into()),
            };
        }
        Ok(self.finish(portal, wish, |stored| stored.event = event)?)
    }

    /// A wish is dealt with, unless there is another since.
    fn finish(
        &self,
        portal: &Portal,
        wish: &PictureWish,
        amend: impl FnOnce(&mut RoomPicture),
    ) -> Result<(), StoreError> {
        self.store.amend_room_picture(&portal.id, |stored| {
            amend(stored);
            if stored
                .wish
                .as_ref()
                .is_some_and(|now| now.event == wish.event)
            {
                stored.wish = None;
            }
        })
    }

    /// Shows the picture that a room has on Rocket.Chat, if it is another than before.
    async fn show_room_picture(self: &Arc<Self>, portal: &Portal) -> Result<(), Failure> {
        let rid = &portal.rid;
        let known = self.store.room_picture(&portal.id)?;
        let rocket = self.rocket().await;
        let room = match rocket.bot.room_info(rid).await {
            Ok(Some(room)) => room,
            Ok(None) => return Ok(()),
            // Nothing changes in it, or the bridge's account is not in it any more.
            Err(error) if error.is_denied() || error.code() == Some("error-room-archived") => {
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        if room.federated {
            self.look_for_room(rid);
            return Ok(());
        }
        if room.avatar_etag == known.etag {
            return Ok(());
        }
        let picture = match &room.avatar_etag {
            // There is one also of a picture that was taken away: then letters come.
            Some(_) => rocket.bot.room_avatar(rid).await?.and_then(sniffed),
            None => None,
        };
        let is_same = match &picture {
            Some(picture) => known.hash.as_ref() == Some(&picture.hash) && known.url.is_some(),
            None => known.url.is_none(),
        };
        let mut now = RoomPicture {
            etag: room.avatar_etag,
            ..known
        };
        if !is_same {
            (now.url, now.hash, now.event) = self.show_on_matrix(portal, picture).await?;
            tracing::info!(%rid, "a room's picture is as on Rocket.Chat");
            self.compare_room(&portal.id);
        }
        self.store.amend_room_picture(&portal.id, |stored| {
            // Somebody on Matrix may have wished for another meanwhile.
            let wish = stored.wish.take();
            *stored = RoomPicture { wish, ..now };
        })?;
        Ok(())
    }

    async fn show_on_matrix(
        &self,
        portal: &Portal,
        picture: Option<MatrixPicture>,
    ) -> Result<(Option<String>, Option<String>, Option<OwnedEventId>), Failure> {
        let bot = self.matrix.bot();
        let mut content = json!({});
        let mut url = None;
        let mut hash = None;
        if let Some(picture) = picture {
            let mut info = json!({ "mimetype": picture.media_type, "size": picture.bytes.len() });
            if let Some((width, height)) = picture.size {
                info["w"] = width.into();
                info["h"] = height.into();
            }
            if let Some(shown) = self.bring_picture(picture).await? {
                content = json!({ "url": shown.mxc, "info": info });
                url = Some(shown.mxc.to_string());
                hash = Some(shown.hash);
            }
        }
        let event = bot
            .send_state(&portal.room_id, PICTURE, "", &content, None)
            .await?;
        Ok((url, hash, Some(event)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::url_in;

    #[test]
    fn a_room_without_an_address_of_a_picture_has_none() {
        let of = |content| url_in(Some(&content));
        assert_eq!(
            of(json!({ "url": "mxc://a/b" })).as_deref(),
            Some("mxc://a/b")
        );
        assert_eq!(of(json!({ "url": "" })), None);
        assert_eq!(of(json!({ "url": 5 })), None);
        assert_eq!(of(json!({})), None);
        assert_eq!(url_in(None), None);
    }
}
