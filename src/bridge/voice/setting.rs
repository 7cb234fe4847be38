//! What somebody sets for a room.

use crate::bridge::{Bridge, Failure};
use crate::config::Relaying;
use crate::store::{Portal, StoreError};

/// How a room is relayed, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayStatus {
    /// What somebody has set for it.
    pub set: Option<bool>,
    /// What holds where nobody has.
    pub configured: Relaying,
}

impl RelayStatus {
    /// In a sentence.
    pub fn in_words(&self) -> &'static str {
        match (self.set, self.configured) {
            (Some(true), _) => {
                "Everybody of Matrix speaks in this room through the bridge's account on Rocket.Chat, under their own name. So it was set for this room."
            }
            (Some(false), _) => {
                "Everybody of Matrix speaks in this room with an account of their own on Rocket.Chat; who gets none is not heard there. So it was set for this room."
            }
            (None, Relaying::Never) => {
                "Everybody of Matrix speaks with an account of their own on Rocket.Chat; who gets none is not heard there."
            }
            (None, Relaying::NoSeat) => {
                "Everybody of Matrix speaks with an account of their own on Rocket.Chat; while its licence has no seat for one, through the bridge's account, under their own name."
            }
            (None, Relaying::OtherHomeservers) => {
                "People of other homeservers speak through the bridge's account on Rocket.Chat, under their own name, the others with accounts of their own."
            }
            (None, Relaying::Everybody) => {
                "Everybody of Matrix speaks through the bridge's account on Rocket.Chat, under their own name."
            }
        }
    }
}

impl Bridge {
    /// How a room is relayed.
    ///
    /// # Errors
    /// When the store fails.
    pub fn relay_status(&self, portal: &Portal) -> Result<RelayStatus, StoreError> {
        Ok(RelayStatus {
            set: self.store.room_relay(&portal.id)?.set,
            configured: self.config.bridge.relay,
        })
    }

    /// Sets for a room who speaks through the bridge's account: everybody, nobody, or as
    /// the configuration says. What has been written stays as it is, and goes on to be
    /// edited and deleted with the account that posted it; who is a member on Rocket.Chat
    /// stays one. Whether it is for somebody to set is for the caller to know.
    ///
    /// # Errors
    /// [`Failure::Refused`] in a direct message; when the store fails.
    pub fn set_relay(&self, portal: &Portal, set: Option<bool>) -> Result<(), Failure> {
        if portal.kind.is_direct() {
            return Err(Failure::Refused(
                "In a direct message everybody speaks with an account of their own.".into(),
            ));
        }
        self.store.amend_room_relay(&portal.id, |relay| {
            relay.set = set;
            relay.told_of_seats = false;
        })?;
        // Who was not a member may have to come in now.
        self.compare_members(&portal.id);
        Ok(())
    }
}
