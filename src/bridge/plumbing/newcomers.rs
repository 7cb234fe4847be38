//! A channel gets one more room on Matrix, by an agreement or because the bridge's own is
//! made: those in its other rooms are told who reads along from now on. That it is to be
//! told is noted with the portal, and done again after an interruption.

use std::sync::Arc;

use serde_json::json;

use super::words;
use crate::bridge::{Bridge, Failure, derived, marker};
use crate::store::PortalId;

impl Bridge {
    /// Tells the other rooms of a portal that is new, if that is still to be done.
    pub(in crate::bridge) fn introduce(self: &Arc<Self>, id: PortalId) {
        let bridge = Arc::clone(self);
        tokio::spawn(async move {
            if let Err(failure) = bridge.persevere(|_| bridge.tell_others(&id)).await {
                tracing::warn!(portal = %id, %failure, "other rooms could not be told who reads along");
            }
        });
    }

    /// As [`Bridge::introduce`], at once.
    pub(super) async fn tell_others(&self, id: &PortalId) -> Result<(), Failure> {
        let Some(since) = self.store.newcomer(id)? else {
            return Ok(());
        };
        if let Some(joined) = self.store.portal(id)? {
            let access = match self.access_now(&joined).await {
                Err(failure) if failure.is_permanent() => None,
                access => Some(access?),
            };
            let federates = self.may_federate(&joined.room_id).await?;
            let text = words::newcomer(&joined, access, federates);
            let of = ["newcomer", id.as_str(), &since.to_string()];
            for other in self.store.portals_of(&joined.rid)? {
                if other.id == *id {
                    continue;
                }
                let mut content = json!({ "msgtype": "m.notice", "body": text, "m.mentions": {} });
                marker::stamp_as_own(&mut content);
                let txn = derived::state_notice_id(&other.id, &of);
                let bot = self.matrix.bot();
                let told = bot.send(&other.room_id, "m.room.message", &content, &txn, None);
                self.as_far_as_told(told.await.map(drop).map_err(Failure::from))?;
            }
        }
        Ok(self.store.change().no_newcomer(id).commit()?)
    }
}
