//! Saying what the bridge cannot do in a Matrix room because it lacks the power.

use crate::bridge::power::{POWER_LEVELS, PowerLevels};
use crate::bridge::{Bridge, Failure};
use crate::store::Portal;

/// What the bridge sets of a room besides the rights in it.
const LOOKS: [&str; 7] = [
    "m.room.name",
    "m.room.topic",
    "m.room.avatar",
    "m.room.canonical_alias",
    "m.room.join_rules",
    "m.room.history_visibility",
    "m.bridge",
];

impl Bridge {
    /// Says once what the bot may not do in the Matrix room although it has to.
    pub(super) async fn warn_of_power(
        &self,
        portal: &Portal,
        levels: &PowerLevels,
    ) -> Result<(), Failure> {
        let bot = &self.config.appservice.bot;
        let level = levels.level_of(bot);
        let mut lacking: Vec<String> = ["invite", "kick", "ban", "redact"]
            .into_iter()
            .filter(|action| level < levels.level(action))
            .map(|action| action.to_owned())
            .collect();
        if !levels.may_set_state(bot, POWER_LEVELS) {
            lacking.push("change power levels".to_owned());
        }
        let highest = levels
            .named_users()
            .filter(|(user, _)| user != bot)
            .map(|(_, level)| level)
            .max();
        if highest.is_some_and(|highest| highest >= level) {
            lacking.push("act on those who have as much power as it has".to_owned());
        }
        if !LOOKS.iter().all(|kind| levels.may_set_state(bot, kind)) {
            lacking.push("change its name, topic, picture, address and who may join it".to_owned());
        }
        for creator in levels.creators() {
            if creator != bot {
                lacking.push(format!("take rights from {creator}, who made it"));
            }
        }
        if self.store.room_rights(&portal.id)?.lacking == lacking {
            return Ok(());
        }
        if !lacking.is_empty() {
            let what = lacking.join(", ");
            tracing::warn!(room = %portal.room_id, lacking = what, "the bot lacks power in a room");
            let text = format!(
                "The bridge lacks the power for this in this room: {what}. What needs it and is done on Rocket.Chat is not carried over, unless somebody can give {bot} more."
            );
            let bot = self.matrix.bot();
            let now = bot.state_event(&portal.room_id, POWER_LEVELS, "").await?;
            if let Some(now) = now {
                let told = self.say(&bot, &portal.room_id, &now.event_id, "power", &text);
                match told.await {
                    // It may not even speak.
                    Err(Failure::Matrix(error)) if error.is_forbidden() => {}
                    outcome => outcome?,
                }
            }
        }
        Ok(self.store.amend_room_rights(&portal.id, |rights| {
            rights.lacking = lacking;
        })?)
    }
}
