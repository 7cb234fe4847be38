//! What a person does with rooms on Rocket.Chat.

use anyhow::{Result, anyhow};
use serde_json::{Value, json};

use super::RocketUser;
use crate::http::{escape, string_at};
use crate::wait::{DEADLINE, Wait};

impl RocketUser {
    /// Creates a public channel; returns its id.
    ///
    /// # Errors
    /// When Rocket.Chat refuses.
    pub async fn create_channel(&self, name: &str, members: &[&str]) -> Result<String> {
        let body = json!({ "name": name, "members": members });
        string_at(&self.post("channels.create", body).await?, "/channel/_id")
    }

    /// Creates a private group; returns its id.
    ///
    /// # Errors
    /// When Rocket.Chat refuses.
    pub async fn create_group(&self, name: &str, members: &[&str]) -> Result<String> {
        let body = json!({ "name": name, "members": members });
        string_at(&self.post("groups.create", body).await?, "/group/_id")
    }

    /// The id of a public channel by its name.
    ///
    /// # Errors
    /// When there is none.
    pub async fn channel_id(&self, name: &str) -> Result<String> {
        let found = self
            .get(&format!("channels.info?roomName={}", escape(name)))
            .await?;
        string_at(&found, "/channel/_id")
    }

    /// Joins a public channel by its name; returns its id.
    ///
    /// # Errors
    /// When Rocket.Chat refuses.
    pub async fn join_channel(&self, name: &str) -> Result<String> {
        let rid = self.channel_id(name).await?;
        self.post("channels.join", json!({ "roomId": rid })).await?;
        Ok(rid)
    }

    /// Leaves a public channel.
    ///
    /// # Errors
    /// When Rocket.Chat refuses.
    pub async fn leave_channel(&self, rid: &str) -> Result<()> {
        self.post("channels.leave", json!({ "roomId": rid }))
            .await?;
        Ok(())
    }

    /// Adds somebody, by user id, to a public channel.
    ///
    /// # Errors
    /// When Rocket.Chat refuses.
    pub async fn invite_to_channel(&self, rid: &str, user_id: &str) -> Result<()> {
        let body = json!({ "roomId": rid, "userId": user_id });
        self.post("channels.invite", body).await?;
        Ok(())
    }

    /// Opens a direct message room; returns its id.
    ///
    /// # Errors
    /// When Rocket.Chat refuses.
    pub async fn open_dm(&self, username: &str) -> Result<String> {
        let answer = self
            .post("im.create", json!({ "username": username }))
            .await?;
        string_at(&answer, "/room/_id")
    }

    /// Opens a direct message room with several people; returns its id.
    ///
    /// # Errors
    /// When Rocket.Chat refuses.
    pub async fn open_dm_with(&self, usernames: &[&str]) -> Result<String> {
        let answer = self
            .post("im.create", json!({ "usernames": usernames.join(",") }))
            .await?;
        string_at(&answer, "/room/_id")
    }

    /// Waits for a direct message room with exactly these others; returns its id.
    ///
    /// # Errors
    /// When it does not appear.
    pub async fn wait_for_dm_with(&self, usernames: &[&str]) -> Result<String> {
        let mut others: Vec<&str> = usernames.to_vec();
        others.sort_unstable();
        let what = format!("a direct message with {}", others.join(", "));
        self.wait_for_subscription(&what, |one| {
            let mut found: Vec<&str> = one["name"]
                .as_str()
                .unwrap_or_default()
                .split(", ")
                .collect();
            found.sort_unstable();
            one["t"] == "d" && found == others
        })
        .await
    }

    /// Waits for a private group that this user was not in before; returns its id.
    ///
    /// # Errors
    /// When it does not appear.
    pub async fn wait_for_group(&self, known: &[&str]) -> Result<String> {
        self.wait_for_subscription("a private group", |one| {
            let rid = one["rid"].as_str().unwrap_or_default();
            one["t"] == "p" && !known.contains(&rid)
        })
        .await
    }

    /// The user names of everybody in a private group.
    ///
    /// # Errors
    /// When Rocket.Chat refuses, or this user is not in it.
    pub async fn group_members(&self, rid: &str) -> Result<Vec<String>> {
        let path = format!("groups.members?roomId={}&count=100", escape(rid));
        let answer = self.get(&path).await?;
        let members = answer["members"].as_array().into_iter().flatten();
        let mut names: Vec<String> = members
            .filter_map(|member| member["username"].as_str().map(str::to_owned))
            .collect();
        names.sort();
        Ok(names)
    }

    /// The user names of everybody in a public channel.
    ///
    /// # Errors
    /// When Rocket.Chat refuses.
    pub async fn channel_members(&self, rid: &str) -> Result<Vec<String>> {
        const PAGE: usize = 100;
        let mut names: Vec<String> = Vec::new();
        loop {
            let rid = escape(rid);
            let offset = names.len();
            let path = format!("channels.members?roomId={rid}&count={PAGE}&offset={offset}");
            let answer = self.get(&path).await?;
            let members = answer["members"].as_array();
            let page = members.into_iter().flatten();
            names.extend(page.filter_map(|member| member["username"].as_str().map(str::to_owned)));
            if names.len() < offset + PAGE {
                return Ok(names);
            }
        }
    }

    /// The rooms this user sees in the sidebar: a subscription each.
    ///
    /// # Errors
    /// When Rocket.Chat refuses.
    pub async fn subscriptions(&self) -> Result<Vec<Value>> {
        let mut answer = self.get("subscriptions.get").await?;
        Ok(serde_json::from_value(answer["update"].take())?)
    }

    /// Waits for a room in this user's sidebar; returns the room's id.
    ///
    /// # Errors
    /// When it does not appear.
    pub async fn wait_for_subscription(
        &self,
        what: &str,
        mut wanted: impl FnMut(&Value) -> bool,
    ) -> Result<String> {
        let what = format!("a room in the sidebar of {}: {what}", self.username);
        let mut wait = Wait::new(&what, DEADLINE);
        loop {
            let look = wait.look(async {
                let subscriptions = self.subscriptions().await?;
                match subscriptions.iter().find(|one| wanted(one)) {
                    Some(found) => Ok(Some(string_at(found, "/rid")?)),
                    None => Err(anyhow!("subscriptions: {}", json!(subscriptions))),
                }
            });
            if let Some(found) = self.evidence.explain(look.await)? {
                return Ok(found);
            }
        }
    }

    /// Waits for a direct message room with somebody; returns its id.
    ///
    /// # Errors
    /// When it does not appear.
    pub async fn wait_for_dm(&self, username: &str) -> Result<String> {
        let what = format!("a direct message with {username}");
        self.wait_for_subscription(&what, |one| one["t"] == "d" && one["name"] == username)
            .await
    }

    /// Another user's public record by user name, if there is one.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn find_user(&self, username: &str) -> Result<Option<Value>> {
        let path = format!("/api/v1/users.info?username={}", escape(username));
        let mut answer = self.api.request("GET", &path, None).await?;
        Ok((answer.status == 200).then(|| answer.body["user"].take()))
    }
}
