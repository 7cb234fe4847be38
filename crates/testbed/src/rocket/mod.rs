//! The Rocket.Chat side: the simulator and the people on it.

mod administration;
mod control;
mod files;
mod marks;
mod message;
mod process;
mod rooms;
mod user;

pub use control::{Rule, SimControl};
pub use files::{Downloaded, NewFile};
pub use message::RocketMessage;
pub use process::{RocketSim, SimOptions};
pub use user::RocketUser;
