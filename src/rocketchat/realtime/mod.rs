//! The realtime socket (DDP over WebSocket): one connection that logs in, keeps
//! its subscriptions, notices silence, comes back after every failure, and says
//! when something may have been missed.
//!
//! Rocket.Chat replays nothing: whatever was written between two connections must
//! be read back. [`Event::Ready`] and [`Event::Subscribed`] say from when on nothing
//! is missed; [`Event::Unreadable`] says when something may have been.

mod client;
mod connection;
mod event;
pub mod frame;
mod login;
mod pace;
mod stream;
mod subscriptions;
mod task;
mod translate;

pub use client::{Options, Realtime, start};
pub use event::{Bulk, Change, Event, Logged, OnRoom, Pictured, Unreadable};
pub use login::login_once;
pub use stream::{OwnEvent, Stream};
pub use translate::event_of_frame;

#[cfg(test)]
mod frame_tests;
#[cfg(test)]
mod tests;
