//! Discussions: rooms that hang on a message of their parent's.

use serde_json::json;

use crate::bridge::marker::Marker;
use crate::bridge::perseverance::Attempt;
use crate::bridge::{Bridge, Failure, derived};
use crate::convert::to_matrix::in_html;
use crate::rocketchat::RocketRoomId;
use crate::rocketchat::documents::Message as RocketMessage;
use crate::store::{Message, Origin, Portal};

impl Bridge {
    /// Somebody has begun a discussion, or written in one: it is mirrored, and its parent
    /// gets a link to it. Where it is not, or its room is not for those who are here, it is
    /// said in words. Rocket.Chat sends its message again with every message in it.
    pub(super) async fn mirror_discussion(
        self: &std::sync::Arc<Self>,
        portal: &Portal,
        message: &RocketMessage,
        rid: &RocketRoomId,
        attempt: Attempt,
    ) -> Result<(), Failure> {
        let opened = self.open_discussion(portal, rid).await?;
        if self.store.message(&portal.id, &message.id)?.is_some()
            || !self.is_for_matrix(message).await?
        {
            return Ok(());
        }
        let (title, leads_to) = match opened {
            Some((discussion, _)) => {
                // People of a room that existed before have no part in the bridge's others.
                let is_for_them = !portal.plumbed || !self.is_private(&discussion)?;
                (discussion.name, is_for_them.then_some(discussion.room_id))
            }
            // Clients can write such messages themselves.
            None => match self.rocket().await.bot.room_as_admin(rid).await? {
                // Not what it is called by now, which not everybody may know.
                Some(room) if room.prid.as_ref() == Some(&portal.rid) => {
                    (message.msg.clone(), None)
                }
                _ => return Ok(()),
            },
        };
        let ghost = self.ghost_of(&message.u).await?;
        let delivered = match attempt.maybe_done {
            true => self.adopt_delivered(portal).await?.event(message, 0),
            false => None,
        };
        let event = match delivered {
            Some(event) => event,
            None => {
                let mut content = json!({
                    "msgtype": "m.text",
                    "body": format!("started a discussion on Rocket.Chat: {title}"),
                    "m.mentions": {},
                });
                if let Some(room) = leads_to {
                    let server = &self.config.homeserver.server_name;
                    let link = room.matrix_to_uri_via([server.clone()]).to_string();
                    content["body"] = format!("started a discussion: {title} {link}").into();
                    content["format"] = "org.matrix.custom.html".into();
                    content["formatted_body"] = format!(
                        "started a discussion: <a href=\"{}\">{}</a>",
                        in_html(&link),
                        in_html(&title)
                    )
                    .into();
                }
                Marker {
                    room_id: portal.rid.clone(),
                    message_id: message.id.clone(),
                    revision: 0,
                    part: 0,
                    parts: 1,
                    workspace: self.store.workspace()?,
                    hops: 1,
                    file: None,
                }
                .stamp(&mut content);
                let sender = &ghost.user_id;
                let txn = derived::transaction_id(&portal.id, sender, &message.id, 0, "new");
                let at = u64::try_from(message.ts.0).ok();
                self.send_as_ghost(portal, &ghost, "m.room.message", &content, &txn, at)
                    .await?
            }
        };
        let mirrored = Message {
            sent_at: message.ts.0,
            ..Message::new(
                portal,
                message.id.clone(),
                vec![event],
                ghost.user_id,
                Origin::RocketChat,
            )
        };
        self.store.change().message(&mirrored).commit()?;
        Ok(())
    }
}
