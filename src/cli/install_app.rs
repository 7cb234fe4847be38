//! `install-app`: brings the App with the command `/matrix` to Rocket.Chat, and tells it
//! where the bridge is and how it proves itself.

use std::path::PathBuf;

use clap::Args;
use url::Url;

use super::{ConfigFile, Problem, runtime, say_on_stdout};
use crate::bridge::{app_secret, bot_credentials, bot_session};
use crate::config::{Config, Registration};
use crate::rocketchat::Error;
use crate::rocketchat::rest::{Client, InstalledApp, Session};
use crate::secret::Secret;

/// The App's own id, from its `app.json`.
const APP_ID: &str = "3b0f6a52-6c1b-4a3e-9a56-0d7a4f2b8c11";

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    file: ConfigFile,
    /// The App, as `cargo xtask package-app` packs it.
    #[arg(long, default_value = "matrix-bridge-app.zip", value_name = "FILE")]
    app: PathBuf,
    /// Where Rocket.Chat reaches the bridge, instead of `appservice.url`.
    #[arg(long, value_name = "URL")]
    bridge_url: Option<Url>,
    /// Installs nothing, and prints what is to be entered in the settings of an App that
    /// was installed by hand.
    #[arg(long)]
    show_settings: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Problem> {
    let config = arguments.file.load()?;
    let registration = Registration::load(&config)?;
    let secret = app_secret(&registration.as_token);
    let url = arguments
        .bridge_url
        .as_ref()
        .unwrap_or(&config.appservice.url);
    if arguments.show_settings {
        say_on_stdout(&format!(
            "Address of the bridge: {url}\nSecret: {}",
            secret.expose()
        ));
        return Ok(());
    }
    let package = std::fs::read(&arguments.app)
        .map_err(|error| format!("{}: {error}", arguments.app.display()))?;
    let (app, by_hand) = runtime()?.block_on(install(&config, package, url, &secret))?;
    let version = app.version;
    say_on_stdout(&match by_hand {
        None => format!(
            "Version {version} is installed: people on Rocket.Chat can write /matrix help now."
        ),
        Some(why) => format!(
            "Version {version} is installed, but Rocket.Chat did not take its settings ({why}). Enter them by hand, under Administration, Marketplace, Private apps, Matrix bridge, Settings: `install-app --show-settings` prints them. Then people on Rocket.Chat can write /matrix help."
        ),
    });
    Ok(())
}

/// What to do about a server that does not take the App.
fn not_taken(error: &Error) -> Problem {
    let advice = match error {
        _ if error.is_denied() => {
            "The bridge's account needs the permission `manage-apps` there, which the role admin has; or an administrator uploads the file under Administration, Marketplace, Private apps."
        }
        // Its code is `private_app_install_disabled`.
        Error::Server { status: 500 } => {
            "Perhaps this server takes no private Apps (`DISABLE_PRIVATE_APP_INSTALLATION` in its environment), or has no program `deno` to run them: `!matrix` as a message does the same as the App."
        }
        _ => {
            "Is it Rocket.Chat 6.11 or later, and the file the one that `cargo xtask package-app` made? It can also be uploaded by hand, under Administration, Marketplace, Private apps."
        }
    };
    format!(
        "Rocket.Chat does not take the App: {} {advice}",
        error.person_text()
    )
    .into()
}

async fn install(
    config: &Config,
    package: Vec<u8>,
    url: &Url,
    secret: &Secret,
) -> Result<(InstalledApp, Option<String>), Problem> {
    let client = Client::new(config.rocketchat.url.clone())?;
    let session = log_in(config, &client).await?;
    let apps = session.installed_apps().await;
    let apps = apps.map_err(|error| not_taken(&error))?;
    let is_there = apps.iter().any(|app| app.id == APP_ID);
    session
        .install_app(package, is_there.then_some(APP_ID))
        .await
        .map_err(|error| not_taken(&error))?;
    let Some(app) = installed(&session).await? else {
        return Err("The file holds another App than the bridge's.".into());
    };
    // The address is no secret, but travels with one.
    let address = Secret::new(url.as_str());
    let settings = [("bridge_url", &address), ("secret", secret)];
    // No server was recorded doing this, and it can be done by hand.
    let set = session.set_app_settings(APP_ID, &settings).await;
    let by_hand = set.err().map(|error| error.to_string());
    if app.is_enabled() {
        return Ok((app, by_hand));
    }
    session.enable_app(APP_ID).await.map_err(|error| {
        format!(
            "The App is installed, and Rocket.Chat does not switch it on: {} Without a licence Rocket.Chat 6 runs three private Apps and later versions none; `!matrix` as a message works everywhere.",
            error.person_text()
        )
    })?;
    Ok((app, by_hand))
}

async fn installed(session: &Session) -> Result<Option<InstalledApp>, Problem> {
    let apps = session.installed_apps().await?;
    Ok(apps.into_iter().find(|app| app.id == APP_ID))
}

async fn log_in(config: &Config, client: &Client) -> Result<Session, Problem> {
    let login = &config.rocketchat.login;
    Ok(bot_session(
        login,
        client,
        bot_credentials(login, client).await?,
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    #[test]
    fn the_id_is_that_of_the_app() {
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/rocketchat-app/app.json");
        let manifest = std::fs::read(manifest).unwrap();
        let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
        assert_eq!(manifest["id"], super::APP_ID);
    }
}
