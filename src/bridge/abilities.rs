//! What of the commands somebody may give where they ask, as both servers have it at that
//! moment: for `help`, which shows nobody what would be refused. What is asked for is held
//! to the same rights again when it is done.

use ruma::OwnedUserId;

use super::context::{Context, Who};
use super::direct::BEGIN_DIRECT;
use super::membership::{ADD_PEOPLE, room_type};
use super::{Bridge, Failure};
use crate::rocketchat::RocketUserId;
use crate::store::{Portal, PortalKind, Stand};

/// What somebody may do where they ask.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Abilities {
    /// What they are answered, nobody else reads.
    pub is_between_us: bool,
    /// They administer the bridge.
    pub administers_bridge: bool,
    /// They are of the bridge's own homeserver, or on Rocket.Chat.
    pub is_at_home: bool,
    /// They may begin direct messages.
    pub writes_directly: bool,
    /// The room is a mirrored channel or group.
    pub is_mirrored: bool,
    /// They may bring others into it.
    pub invites: bool,
    /// They may remove others from it.
    pub removes: bool,
    /// They may keep others out of it.
    pub bans: bool,
    /// They may change on both sides what it is connected with.
    pub changes_both: bool,
    /// They may end that it is mirrored.
    pub ends: bool,
    /// It is a room of theirs that can be joined with one of the other side; or one with
    /// the bot alone, and they administer the bridge.
    pub may_propose: bool,
    /// They administer the room on their side.
    pub administers_room: bool,
}

/// The role that everybody on Rocket.Chat has.
const EVERYBODY: &str = "user";

/// One person: in a Matrix room, and with their account on Rocket.Chat.
struct Both {
    user: Option<OwnedUserId>,
    account: Option<RocketUserId>,
}

impl Bridge {
    /// What whoever asks may do where they ask.
    ///
    /// # Errors
    /// When one of the servers does not tell.
    pub async fn abilities(&self, context: &Context) -> Result<Abilities, Failure> {
        let administers_bridge = self.is_admin(context);
        let mut can = Abilities {
            is_between_us: self.is_between_us(context).await?,
            administers_bridge,
            is_at_home: self.is_at_home(context),
            writes_directly: match &context.who {
                Who::Matrix(_) => true,
                Who::RocketChat { roles, .. } => self.roles_allow(roles, BEGIN_DIRECT).await?,
                Who::Api(_) => false,
            },
            ends: administers_bridge,
            ..Abilities::default()
        };
        let here = self.portals_here(context)?;
        can.administers_room = self.administers_here(context).await?;
        can.may_propose = match context.matrix_user() {
            // Where nobody else is, it makes a new room.
            Some(_) if can.is_between_us => administers_bridge,
            Some(_) => can.administers_room && here.is_empty(),
            None => can.administers_room,
        };
        for portal in here.iter().filter(|portal| !portal.kind.is_direct()) {
            can.is_mirrored = true;
            can.changes_both |=
                administers_bridge || self.may_change_on_both(context, portal).await?;
            can.ends |= match portal.plumbed {
                true => match self.must_administer_either(context, portal).await {
                    Ok(()) => true,
                    Err(Failure::Refused(_)) => false,
                    Err(failure) => return Err(failure),
                },
                false => can.changes_both,
            };
            self.add_powers(portal, context, &mut can).await?;
        }
        Ok(can)
    }

    /// Whether whoever asks is no stranger from another homeserver, who may not learn who is
    /// on this one or on Rocket.Chat.
    pub fn is_at_home(&self, context: &Context) -> bool {
        let home = &self.config.homeserver.server_name;
        (context.matrix_user()).is_none_or(|user| user.server_name() == home)
    }

    /// Who it is on both sides, as far as they are somebody there.
    async fn on_both_sides(&self, context: &Context, portal: &Portal) -> Result<Both, Failure> {
        Ok(match &context.who {
            Who::Matrix(user) => Both {
                user: match self.seat(portal, user).await?.membership() == "join" {
                    true => Some(user.clone()),
                    false => None,
                },
                account: (self.store.puppet(user)?).map(|puppet| puppet.credentials.user_id),
            },
            Who::RocketChat { id, .. } => Both {
                user: self.person_in(portal, id).await?,
                account: Some(id.clone()),
            },
            Who::Api(_) => Both {
                user: None,
                account: None,
            },
        })
    }

    /// Whether somebody administers the room that they ask in, on their own side.
    async fn administers_here(&self, context: &Context) -> Result<bool, Failure> {
        match (&context.who, &context.room, &context.rid) {
            (Who::Matrix(user), Some(room), _) => self.administers_matrix_room(room, user).await,
            (Who::RocketChat { id, .. }, _, Some(rid)) => {
                self.administers_rocketchat_room(rid, id).await
            }
            _ => Ok(false),
        }
    }

    /// What somebody may do to the people of the other side in a mirrored channel or group.
    async fn add_powers(
        &self,
        portal: &Portal,
        context: &Context,
        can: &mut Abilities,
    ) -> Result<(), Failure> {
        let both = self.on_both_sides(context, portal).await?;
        let levels = self.power_levels(portal).await?;
        let level = both.user.as_ref().map(|user| levels.level_of(user));
        let has = |key| level.is_some_and(|level| level >= levels.level(key));
        if let Some(account) = &both.account {
            let kind = room_type(portal).unwrap_or_default();
            let stand = self
                .stand_on_rocketchat(&portal.rid, &kind, account)
                .await?;
            if stand >= Stand::Moderator {
                can.removes |= has("kick");
                can.bans |= has("ban");
            }
        }
        can.invites |= match (&context.who, &both.account) {
            // Who has no account yet gets one for it, which may what everybody may.
            (Who::Matrix(_), None) => {
                has("invite")
                    && portal.kind == PortalKind::Channel
                    && self
                        .roles_allow(&[EVERYBODY.to_owned()], ADD_PEOPLE)
                        .await?
            }
            (_, None) => false,
            (Who::Matrix(_), Some(account)) => {
                has("invite") && self.may_invite(portal, account).await?
            }
            (_, Some(account)) if !self.is_member(portal, account).await? => false,
            (_, Some(account)) => {
                let may_add = self.may_invite(portal, account).await?;
                match (portal.kind == PortalKind::Channel, portal.plumbed) {
                    (true, true) => has("invite"),
                    (true, false) => has("invite") || may_add,
                    (false, true) => has("invite") && may_add,
                    (false, false) => may_add,
                }
            }
        };
        Ok(())
    }
}
