//! What the server does: each file one kind of change, called from REST and from the methods alike.

pub mod accounts;
pub mod check;
pub mod create;
pub mod delete;
pub mod discussions;
pub mod edit;
pub mod gone;
pub mod login;
pub mod membership;
pub mod quote;
pub mod react;
pub mod room_kind;
pub mod send;
pub mod teams;
pub mod thread;
pub mod tree;
