//! Devices without a browser (RFC 8628): the device shows a code, its user types it elsewhere and decides.

use secrecy::SecretString;
use uuid::Uuid;

use super::{
    ClientApplication, ClientProof, Identity, IdentityError, SignInError, SignedInUser, TokenShape, UserTokens, client,
    new_secret, resource,
};
use crate::{
    db::{
        device_code::{self, DeviceCodeRow, DeviceState},
        session::SessionRow,
        transact,
        user::{self, UserRow},
    },
    keys::random,
};

/// How long a device may wait, in seconds, and how long between its questions.
const LIFETIME_S: u64 = 15 * 60;
const INTERVAL_S: u64 = 5;
/// How much sooner than the interval a question may come, in ms: networks are not clocks.
const TOLERANCE_MS: i64 = 1_000;
/// Devices that may wait at once.
const MOST_WAITING: u64 = 10_000;
/// Letters without vowels and look-alikes (RFC 8628, section 6.1): eight of them are 34 bits.
const ALPHABET: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
const USER_CODE_LETTERS: usize = 8;
/// What the keyed hashes are for.
const DEVICE: &str = "device";
const USER: &str = "user-code";

/// What a device is given.
#[derive(Debug)]
pub struct DeviceBegun {
    /// What it asks with.
    pub device_code: SecretString,
    /// What it shows its user: `BCDF-GHJK`.
    pub user_code: SecretString,
    /// For how long, in seconds.
    pub expires_in_s: u64,
    /// How often it may ask, in seconds.
    pub interval_s: u64,
}

/// What a user is shown of a device before deciding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceShown {
    /// Which application asks.
    pub application: ClientApplication,
    /// From where.
    pub address: String,
    /// Since when, in seconds.
    pub age_s: u64,
    /// Whose users may let it in; `None`: any.
    pub tenant: Option<Uuid>,
}

/// What a user decides.
#[derive(Debug, Clone)]
pub enum DeviceDecision {
    /// This user lets it in.
    Approve(SignedInUser),
    /// Whoever has the code does not.
    Deny,
}

/// What became of a device's question.
enum Answer {
    Session(Box<(SessionRow, UserRow)>),
    Refused(IdentityError),
}

impl Identity {
    /// Begins to wait for a user.
    ///
    /// # Errors
    /// `Busy` when too many devices wait, or were begun from one network.
    pub async fn device_begin(
        &self,
        client: &ClientApplication,
        tenant: Option<Uuid>,
        scope: &str,
        address: &str,
    ) -> Result<DeviceBegun, IdentityError> {
        if !client.is_public() {
            return Err(IdentityError::WrongSecret);
        }
        if !self.addresses.may_begin_device(address, self.now_ms()) {
            return Err(IdentityError::Busy);
        }
        let (device_code, user_code) = (new_secret()?, new_user_code()?);
        let (hash, user_hash) = (self.keys.tag_text(DEVICE, &device_code), self.keys.tag_text(USER, &user_code));
        transact!(&self.db, |tx| -> Result<(), IdentityError> {
            let now_ms = tx.now_ms().await?;
            device_code::delete_expired(tx, now_ms).await?;
            if device_code::count(tx).await? >= MOST_WAITING {
                return Err(IdentityError::Busy);
            }
            let row = DeviceCodeRow {
                hash: hash.clone(),
                user_hash: user_hash.clone(),
                tenant,
                app_id: client.app_id,
                scope: scope.to_owned(),
                address: address.to_owned(),
                state: DeviceState::Pending,
                user: None,
                created_ms: now_ms,
                polled_ms: 0,
                expires_ms: now_ms.saturating_add(LIFETIME_S as i64 * 1000),
            };
            Ok(device_code::insert(tx, &row).await?)
        })?;
        let (head, tail) = user_code.split_at(USER_CODE_LETTERS / 2);
        Ok(DeviceBegun {
            device_code: SecretString::from(device_code.as_str()),
            user_code: SecretString::from(format!("{head}-{tail}")),
            expires_in_s: LIFETIME_S,
            interval_s: INTERVAL_S,
        })
    }

    /// What a user code stands for. A wrong one counts as a wrong password of the address.
    ///
    /// # Errors
    /// `Wrong`, `Slow`.
    pub async fn device_find(&self, user_code: &str, address: &str) -> Result<DeviceShown, SignInError> {
        self.attempt(address, self.find_device(user_code)).await
    }

    async fn find_device(&self, user_code: &str) -> Result<DeviceShown, SignInError> {
        let mut tx = self.db.read().await?;
        let now_ms = tx.now_ms().await?;
        let found = device_code::find_by_user_code(&mut tx, &self.user_hash(user_code)).await?;
        let found = found.filter(|found| found.state == DeviceState::Pending && found.expires_ms > now_ms);
        let Some(found) = found else { return Err(SignInError::Wrong) };
        let application = client::find_client(&mut tx, &found.app_id.to_string()).await?;
        let age_s = u64::try_from((now_ms - found.created_ms) / 1000).unwrap_or(0);
        Ok(DeviceShown { application, address: found.address, age_s, tenant: found.tenant })
    }

    /// Decides about a device. Whether it was still to be decided.
    ///
    /// # Errors
    /// The catalogue's.
    pub async fn device_decide(&self, user_code: &str, decision: &DeviceDecision) -> Result<bool, IdentityError> {
        let hash = self.user_hash(user_code);
        transact!(&self.db, |tx| -> Result<bool, IdentityError> {
            let now_ms = tx.now_ms().await?;
            let found = device_code::find_by_user_code(tx, &hash).await?;
            if found.is_none_or(|found| found.expires_ms <= now_ms) {
                return Ok(false);
            }
            let (state, user) = match decision {
                DeviceDecision::Approve(user) => (DeviceState::Approved, Some(user.id)),
                DeviceDecision::Deny => (DeviceState::Denied, None),
            };
            Ok(device_code::decide(tx, &hash, state, user).await?)
        })
    }

    /// What a device asked for, to shape its token; `None` for a code that is not known.
    ///
    /// # Errors
    /// The catalogue's.
    pub async fn scope_of_device(&self, device_code: &str) -> Result<Option<String>, IdentityError> {
        let hash = self.keys.tag_text(DEVICE, device_code);
        let found = device_code::find(&mut *self.db.read().await?, &hash).await?;
        Ok(found.map(|found| found.scope))
    }

    /// The tokens for a device whose user has decided; they are given once.
    ///
    /// # Errors
    /// `AuthorizationPending`, `SlowDown`, `Declined`, `ExpiredDeviceCode`, `InvalidGrant`.
    pub async fn device_redeem(
        &self,
        client: &ClientApplication,
        proof: &ClientProof,
        device_code: &str,
        shape: &TokenShape,
    ) -> Result<UserTokens, IdentityError> {
        let proof = self.prove_client(&mut *self.db.read().await?, client, proof, None).await?;
        let hash = self.keys.tag_text(DEVICE, device_code);
        let answer = transact!(&self.db, |tx| -> Result<Answer, IdentityError> {
            let refused = |error| Ok(Answer::Refused(error));
            let now_ms = tx.now_ms().await?;
            let found = device_code::find(tx, &hash).await?.filter(|found| found.app_id == client.app_id);
            let Some(found) = found else {
                return refused(IdentityError::InvalidGrant("the device code is not known, or was used"));
            };
            if found.expires_ms <= now_ms {
                device_code::delete(tx, &hash).await?;
                return refused(IdentityError::ExpiredDeviceCode);
            }
            match found.state {
                DeviceState::Pending => {
                    let next_ms = found.polled_ms + INTERVAL_S as i64 * 1000 - TOLERANCE_MS;
                    device_code::polled(tx, &hash, now_ms).await?;
                    let is_early = found.polled_ms > 0 && now_ms < next_ms;
                    refused(if is_early { IdentityError::SlowDown } else { IdentityError::AuthorizationPending })
                }
                DeviceState::Denied => {
                    device_code::delete(tx, &hash).await?;
                    refused(IdentityError::Declined)
                }
                DeviceState::Approved => {
                    device_code::delete(tx, &hash).await?;
                    let user = match found.user {
                        Some(id) => user::find(tx, id).await?.filter(|user| user.enabled),
                        None => None,
                    };
                    let Some(user) = user else { return refused(IdentityError::Declined) };
                    resource::roles_of_user(tx, &user, client.app_id, shape).await?;
                    let session = self.begin_session(tx, Uuid::new_v4(), &user, client.app_id).await?;
                    Ok(Answer::Session(Box::new((session, user))))
                }
            }
        })?;
        match answer {
            Answer::Refused(error) => Err(error),
            Answer::Session(found) => {
                let (session, user) = *found;
                self.tokens(&mut *self.db.read().await?, &session, &user, (proof, None), shape).await
            }
        }
    }

    /// However people type it: small letters, with or without the dash, with spaces.
    fn user_hash(&self, user_code: &str) -> String {
        let letters: String =
            user_code.chars().filter(char::is_ascii_alphabetic).take(64).map(|c| c.to_ascii_uppercase()).collect();
        self.keys.tag_text(USER, &letters)
    }
}

/// Each letter equally likely: bytes of which the alphabet's length makes no whole are left out.
fn new_user_code() -> Result<String, IdentityError> {
    let mut code = String::with_capacity(USER_CODE_LETTERS);
    while code.len() < USER_CODE_LETTERS {
        let fair = |byte: &&u8| usize::from(**byte) < 256 / ALPHABET.len() * ALPHABET.len();
        let bytes = random::<32>()?;
        let letters = bytes.iter().filter(fair).map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]));
        code.extend(letters.take(USER_CODE_LETTERS - code.len()));
    }
    Ok(code)
}
