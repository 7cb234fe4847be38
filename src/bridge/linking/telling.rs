//! What people are told of their two accounts, in private on both sides.

use serde_json::json;

use crate::bridge::{Bridge, Failure, derived, marker};
use crate::convert::to_rocketchat;
use crate::rocketchat::RocketUserId;
use crate::store::Link;

impl Bridge {
    /// Says something to a person in their room with the bridge on Matrix, once for each
    /// purpose, if nobody else is there.
    pub(super) async fn tell_on_matrix(
        &self,
        link: &Link,
        purpose: &str,
        text: &str,
    ) -> Result<(), Failure> {
        let bot = self.matrix.bot();
        let there = match bot.joined_members(&link.room).await {
            Ok(there) => there,
            // Neither is the bot.
            Err(error) if error.is_forbidden() || error.is_not_found() => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let is_theirs = there.contains_key(&link.matrix_id)
            && (there.keys())
                .all(|member| *member == link.matrix_id || *member == self.config.appservice.bot);
        if !is_theirs {
            tracing::info!(user = %link.matrix_id, "they have left their room with the bridge and are told on Rocket.Chat only");
            return Ok(());
        }
        let mut content = json!({ "msgtype": "m.notice", "body": text, "m.mentions": {} });
        marker::stamp_as_own(&mut content);
        let txn = derived::link_notice_id(&link.matrix_id, &link.proof, purpose);
        bot.send(&link.room, "m.room.message", &content, &txn, None)
            .await?;
        Ok(())
    }

    /// The same on Rocket.Chat.
    pub(super) async fn tell_on_rocketchat(
        &self,
        id: &RocketUserId,
        proof: &str,
        purpose: &str,
        text: &str,
    ) -> Result<(), Failure> {
        let message =
            derived::link_message_id(&self.registration.as_token, id.as_str(), proof, purpose);
        let text = to_rocketchat::plain_with_code(text);
        self.tell_directly(id, &message, &text).await
    }

    /// Says something on both sides. That one of them cannot be told keeps the other from
    /// nothing.
    pub(super) async fn tell_both(
        &self,
        link: &Link,
        purpose: &str,
        text: &str,
    ) -> Result<(), Failure> {
        let here = self.tell_on_matrix(link, purpose, text).await;
        let there = self
            .tell_on_rocketchat(&link.rocket_id, &link.proof, purpose, text)
            .await;
        for told in [here, there] {
            match told {
                Err(failure) if failure.is_permanent() => {
                    tracing::warn!(user = %link.matrix_id, %failure, "somebody could not be told of their accounts");
                }
                told => told?,
            }
        }
        Ok(())
    }
}
