//! How fast subscriptions may be asked for.
