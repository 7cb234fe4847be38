//! Logging in (facts 1.1, captures 01, 02, 04 and 21), and the second factor of privileged calls.

use serde_json::{Value, json};

use crate::{
    error::Failure,
    state::{State, users::password_digest, users::token_hash},
    time,
};

/// A successful login.
#[derive(Debug)]
pub struct Login {
    /// Who.
    pub uid: String,
    /// The raw token, new unless one was resumed.
    pub token: String,
    /// When it ends, milliseconds; personal tokens never do.
    pub expires: Option<i64>,
    /// `resume` or `password`.
    pub kind: &'static str,
}

fn refused(error: Value, message: &str) -> Failure {
    Failure::Login {
        error: Some(error),
        message: message.to_owned(),
        details: None,
    }
}

impl State {
    /// Logs in with Meteor's options or, over REST, with the convenient form. An unknown user is
    /// told apart only over DDP (captures 02 and 21).
    pub fn log_in(&mut self, options: &Value, over_rest: bool) -> Result<Login, Failure> {
        let options = options.get("totp").map_or(options, |totp| &totp["login"]);
        if let Some(raw) = options.get("resume").and_then(Value::as_str) {
            return self.resume(raw);
        }
        let selector = options.get("user").cloned().unwrap_or(Value::Null);
        let password = match options.get("password") {
            Some(Value::String(plain)) => password_digest(plain),
            Some(Value::Object(hashed)) => hashed
                .get("digest")
                .and_then(Value::as_str)
                .unwrap_or("")
                .to_owned(),
            _ => {
                return Err(refused(
                    json!(400),
                    "Unrecognized options for login request",
                ));
            }
        };
        let user = if let Some(name) = selector["username"].as_str() {
            self.users.named(name)
        } else if let Some(email) = selector["email"].as_str() {
            self.users.with_email(email)
        } else {
            let got = if selector.is_string() {
                "string"
            } else {
                "undefined"
            };
            return Err(Failure::Login {
                error: None,
                message: format!(
                    "Match error: Match error: Expected object, got {got} in field user"
                ),
                details: None,
            });
        };
        let Some(user) = user else {
            return Err(if over_rest {
                refused(json!("Unauthorized"), "Unauthorized")
            } else {
                refused(json!(403), "User not found")
            });
        };
        let (uid, name) = (user.id().to_owned(), user.name().to_owned());
        let (right, active) = (
            user.password.as_deref() == Some(password.as_str()),
            user.active(),
        );
        let app = user.doc.get("type") == Some(&json!("app"));
        let mail_factor = user.verified_email().is_some();
        self.check_block(&name)?;
        if !right {
            self.note_failure(&name);
            return Err(refused(json!(403), "Incorrect password"));
        }
        let by_login = |code: &str, reason: &str| {
            refused(json!(code), reason)
                .with(json!({ "function": "Accounts.validateLoginAttempt" }))
        };
        if !active {
            return Err(by_login(
                "error-user-is-not-activated",
                "User is not activated",
            ));
        }
        if app {
            return Err(by_login(
                "error-app-user-is-not-allowed-to-login",
                "App user is not allowed to login",
            ));
        }
        if mail_factor && self.settings.on("Accounts_TwoFactorAuthentication_Enabled") {
            let details = json!({
                "method": "email", "codeGenerated": true, "emailOrUsername": name, "availableMethods": ["email"],
            });
            return Err(refused(json!("totp-required"), "TOTP Required").with(details));
        }
        self.failed_logins.remove(&name.to_lowercase());
        let token = self.issue_login_token(&uid);
        self.change_user(&uid, |user| {
            user.doc
                .insert("lastLogin".to_owned(), crate::json::date(time::now_ms()));
        });
        let expires =
            Some(time::now_ms() + self.settings.number("Accounts_LoginExpiration") * 86_400_000);
        Ok(Login {
            uid,
            token,
            expires,
            kind: "password",
        })
    }

    fn resume(&mut self, raw: &str) -> Result<Login, Failure> {
        let found = self.users.with_token(raw).filter(|user| user.active());
        let Some(user) = found else {
            return Err(refused(
                json!(403),
                "You've been logged out by the server. Please log in again.",
            ));
        };
        let hash = token_hash(raw);
        let days = self.settings.number("Accounts_LoginExpiration");
        let expires = user
            .tokens
            .iter()
            .find(|token| token.hash == hash && token.name.is_none())
            .map(|token| token.when + days * 86_400_000);
        Ok(Login {
            uid: user.id().to_owned(),
            token: raw.to_owned(),
            expires,
            kind: "resume",
        })
    }

    fn check_block(&mut self, name: &str) -> Result<(), Failure> {
        let key = name.to_lowercase();
        let limit = self
            .settings
            .number("Block_Multiple_Failed_Logins_Attempts_Until_Block_by_User");
        let minutes = self
            .settings
            .number("Block_Multiple_Failed_Logins_Time_To_Unblock_By_User_In_Minutes");
        let enabled = self.settings.on("Block_Multiple_Failed_Logins_Enabled");
        let Some(failed) = self.failed_logins.get(&key).copied() else {
            return Ok(());
        };
        if time::now_ms() - failed.last > minutes * 60_000 {
            self.failed_logins.remove(&key);
        } else if enabled && failed.count >= limit {
            return Err(refused(
                json!("error-login-blocked-for-user"),
                "Login has been temporarily blocked For User",
            )
            .with(json!({ "function": "Accounts.validateLoginAttempt" })));
        }
        Ok(())
    }

    fn note_failure(&mut self, name: &str) {
        let failed = self.failed_logins.entry(name.to_lowercase()).or_default();
        failed.count += 1;
        failed.last = time::now_ms();
    }

    /// Demands the second factor for a privileged call (facts 1.2): not of personal tokens that
    /// bypass it, not shortly after the account was made, not of users without a password.
    pub fn second_factor(
        &mut self,
        uid: &str,
        token: &str,
        code: Option<&str>,
    ) -> Result<(), Failure> {
        if !self.settings.on("Accounts_TwoFactorAuthentication_Enabled")
            || !self
                .settings
                .on("Accounts_TwoFactorAuthentication_Enforce_Password_Fallback")
        {
            return Ok(());
        }
        let Some(user) = self.users.get(uid) else {
            return Ok(());
        };
        let Some(password) = user.password.clone() else {
            return Ok(());
        };
        let hash = token_hash(token);
        if user.tokens.iter().any(|one| one.hash == hash && one.bypass) {
            return Ok(());
        }
        let now = time::now_ms();
        let remember = self
            .settings
            .number("Accounts_TwoFactorAuthentication_RememberFor")
            * 1000;
        let made = crate::json::date_ms(user.doc.get("createdAt")).unwrap_or(0);
        let grace = (self.options.two_factor_grace_s as i64 * 1000).min(remember);
        if now - made < grace
            || self
                .second_factor
                .get(&hash)
                .is_some_and(|until| *until > now)
        {
            return Ok(());
        }
        let details =
            json!({ "method": "password", "codeGenerated": false, "availableMethods": [] });
        match code {
            Some(code) if code == password => {
                self.second_factor.insert(hash, now + remember);
                Ok(())
            }
            Some(_) => Err(Failure::coded("totp-invalid", "TOTP Invalid").with(details)),
            None => Err(Failure::coded("totp-required", "TOTP Required").with(details)),
        }
    }
}
