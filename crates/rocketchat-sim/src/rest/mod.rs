//! REST: the table of routes, and what happens around every handler (facts 0.3: authentication,
//! limiter, schema, permission, second factor, handler).

pub mod apps;
pub mod avatars;
pub mod call;
pub mod chat;
pub mod discussions;
pub mod downloads;
pub mod emoji;
pub mod faulty;
pub mod form;
pub mod history;
pub mod info;
pub mod lists;
pub mod login;
pub mod marks;
pub mod method_call;
pub mod query;
pub mod reply;
pub mod room_settings;
pub mod rooms;
pub mod shown;
pub mod subscriptions;
pub mod teams;
pub mod threads;
pub mod tokens;
pub mod uploads;
pub mod users;
pub mod webhooks;

pub mod channels;
pub mod direct;
pub mod serve;

use std::collections::HashMap;
use std::sync::OnceLock;

use call::Handler;

use crate::profile::VersionProfile;

/// One route and verb.
#[derive(Clone, Copy)]
pub struct Route {
    /// Path after `/api/v1/`; one ending in `/:` takes a parameter.
    pub path: &'static str,
    /// `GET` or `POST`.
    pub verb: &'static str,
    /// Whether a login is needed.
    pub auth: bool,
    /// Who answers.
    pub handler: Handler,
}

/// A `GET` that needs a login.
pub const fn get(path: &'static str, handler: Handler) -> Route {
    Route {
        path,
        verb: "GET",
        auth: true,
        handler,
    }
}

/// A `POST` that needs a login.
pub const fn post(path: &'static str, handler: Handler) -> Route {
    Route {
        path,
        verb: "POST",
        auth: true,
        handler,
    }
}

/// The same route for everybody.
pub const fn open(route: Route) -> Route {
    Route {
        path: route.path,
        verb: route.verb,
        auth: false,
        handler: route.handler,
    }
}

fn table() -> &'static HashMap<&'static str, Vec<Route>> {
    static TABLE: OnceLock<HashMap<&'static str, Vec<Route>>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut table: HashMap<&'static str, Vec<Route>> = HashMap::new();
        let families = [
            info::ROUTES,
            login::ROUTES,
            tokens::ROUTES,
            users::ROUTES,
            channels::ROUTES,
            direct::ROUTES,
            rooms::ROUTES,
            discussions::ROUTES,
            teams::ROUTES,
            lists::ROUTES,
            subscriptions::ROUTES,
            room_settings::ROUTES,
            chat::ROUTES,
            marks::ROUTES,
            threads::ROUTES,
            emoji::ROUTES,
            webhooks::ROUTES,
            history::ROUTES,
            method_call::ROUTES,
            uploads::ROUTES,
            avatars::ROUTES,
        ];
        for route in families.into_iter().flatten() {
            table.entry(route.path).or_default().push(*route);
        }
        table
    })
}

/// Whether a version has a path at all; other paths are not asked about.
pub fn exists(path: &str, profile: VersionProfile) -> bool {
    match path.split('/').next() {
        Some("rooms.upload") => profile.one_step_upload(),
        Some("rooms.media" | "rooms.mediaConfirm") => profile.two_step_upload(),
        _ => true,
    }
}

/// The verbs of a path and the parameter in it; `None` for unknown paths.
pub fn find(path: &str) -> Option<(&'static [Route], String)> {
    if let Some(routes) = table().get(path) {
        return Some((routes.as_slice(), String::new()));
    }
    let (family, parameter) = path.split_once('/')?;
    let routes = table().get(format!("{family}/:").as_str())?;
    (!parameter.is_empty()).then(|| (routes.as_slice(), parameter.to_owned()))
}
