//! Requests to Rocket.Chat (`/api/v1`), a file per family of endpoints.

mod activity;
mod answer;
mod apps;
mod avatars;
mod chat;
mod client;
mod emoji;
mod files;
mod history;
mod login;
mod members;
mod room_files;
mod rooms;
mod server;
mod teams;
mod transfer;
mod users;

pub use activity::{Present, Status};
pub use apps::InstalledApp;
pub use chat::{OutgoingMessage, Sent};
pub use client::{Client, Credentials, Session};
pub use files::{Beside, Upload};
pub use members::{RoleHolder, RoomRole};
pub use rooms::{DirectRoom, RoomOrder};
pub use server::ServerInfo;
pub use teams::Team;
pub use users::{NewUser, UserChanges};

#[cfg(test)]
mod app_tests;
#[cfg(test)]
mod avatar_tests;
#[cfg(test)]
mod file_tests;
#[cfg(test)]
mod tests;
