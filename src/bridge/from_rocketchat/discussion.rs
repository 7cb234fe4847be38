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
    /// gets a link to it. Rocket.Chat sends its message again with every message in it.
    pub(super) async fn mirror_discussion(
        self: &std::sync::Arc<Self>,
        portal: &Portal,
        message: &RocketMessage,
        rid: &RocketRoomId,
        attempt: Attempt,
    ) -> Result<(), Failure> {
        let Some((discussion, _)) = self.open_discussion(portal, rid).await? else {
            return Ok(());
        };
        if self.store.message(&portal.id, &message.id)?.is_some()
            || !self.is_for_matrix(message).await?
        {
            return Ok(());
        }
        let ghost = self.ghost_of(&message.u).await?;
        let delivered = match attempt.maybe_done {
            true => self.adopt_delivered(portal).await?.event(message, 0),
            false => None,
        };
        let event = match delivered {
            Some(event) => event,
            None => {
                let server = &self.config.homeserver.server_name;
                let link = discussion
                    .room_id
                    .matrix_to_uri_via([server.clone()])
                    .to_string();
                let title = &discussion.name;
                let mut content = json!({
                    "msgtype": "m.text",
                    "body": format!("started a discussion: {title} {link}"),
                    "format": "org.matrix.custom.html",
                    "formatted_body": format!(
                        "started a discussion: <a href=\"{}\">{}</a>",
                        in_html(&link),
                        in_html(title)
                    ),
                    "m.mentions": {},
                });
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
