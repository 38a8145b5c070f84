//! Users' passwords, as the sign-in page takes them.

use secrecy::SecretString;
use uuid::Uuid;

use super::{
    ClientApplication, Identity, IdentityError, NOBODY, client, guessing,
    password::{self, WeakPassword},
    resource, token,
};
use crate::{
    db::{
        self, Connection, session, tenant, transact,
        user::{self, UserRow},
        wrong_passwords::{self, Failures, Tried},
    },
    directory::user::UserName,
};

/// Characters of a name that are looked at when nobody has it.
const LONGEST_NAME_CHARS: usize = 256;

/// What a user typed, and from where.
#[derive(Debug)]
pub struct SignIn {
    /// Whose users may sign in; `None`: the user name's domain decides.
    pub tenant: Option<Uuid>,
    /// The user principal name; without a domain the tenant's is meant, or the only one's that there is.
    pub user_name: String,
    /// The password.
    pub password: SecretString,
    /// Another one, from then on.
    pub new_password: Option<SecretString>,
    /// Who asks, as far as it is known.
    pub address: String,
}

/// Whom a sign-in means.
struct Sought {
    /// Who has the name, if it is who may sign in there.
    found: Option<UserRow>,
    /// Who has the name, in whichever tenant.
    holder: Option<Uuid>,
    /// With the domain.
    name: String,
    /// Whose user it is, or would be.
    tenant: Option<Uuid>,
    /// Whose domain the name has.
    by_domain: Option<Uuid>,
}

/// An attempt that counts as a wrong one until it is taken back.
#[derive(Debug)]
struct CountedAttempt {
    tried: Tried,
    counted: Failures,
    /// When the wrong one before it was.
    former_ms: i64,
}

/// A user who typed the right password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedInUser {
    /// The object id.
    pub id: Uuid,
    /// The tenant.
    pub tenant: Uuid,
    /// The user principal name.
    pub name: String,
}

/// Why a user is not signed in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignInError {
    /// There is no such user, or the password is another; which, nobody is told.
    #[error("the user name or the password is wrong")]
    Wrong,
    /// Too many attempts; for how long there is to wait, in seconds.
    #[error("too many wrong passwords; try again in {0} s")]
    Slow(u64),
    /// The user may not sign in.
    #[error("the user is disabled")]
    Disabled,
    /// Another password is to be chosen first.
    #[error("the password is to be changed")]
    MustChange,
    /// The new password cannot be one.
    #[error(transparent)]
    Weak(#[from] WeakPassword),
    /// The application is not known in the user's tenant.
    #[error("the application is not known in the user's tenant")]
    UnknownApplication,
    /// See there.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

impl SignInError {
    /// What is to wait until a time, in whole seconds.
    fn slow(until_ms: i64, now_ms: i64) -> Self {
        Self::Slow(u64::try_from(until_ms.saturating_sub(now_ms)).unwrap_or(0).div_ceil(1000))
    }
}

impl From<db::Error> for SignInError {
    fn from(error: db::Error) -> Self {
        Self::Identity(error.into())
    }
}

impl Identity {
    /// Checks a user's password, for signing in through an application.
    ///
    /// # Errors
    /// What to tell the user. Whether there is such a user is told to nobody who does not know the password.
    pub async fn sign_in(&self, client: &ClientApplication, asked: SignIn) -> Result<SignedInUser, SignInError> {
        let address = asked.address.clone();
        self.attempt(&address, self.judge(client, asked)).await
    }

    /// Judges what somebody tries from an address. It counts for the address, unless it turns out not to be wrong; whoever hangs up
    /// before that, and drops it, was wrong.
    pub(super) async fn attempt<T>(
        &self,
        address: &str,
        judge: impl Future<Output = Result<T, SignInError>>,
    ) -> Result<T, SignInError> {
        let now_ms = self.now_ms();
        let attempt = self.addresses.begin(address, now_ms);
        let attempt = attempt.map_err(|until_ms| SignInError::slow(until_ms, now_ms))?;
        let judged = judge.await;
        if !matches!(judged, Err(SignInError::Wrong | SignInError::Slow(_))) {
            attempt.forgive();
        }
        judged
    }

    async fn judge(&self, client: &ClientApplication, asked: SignIn) -> Result<SignedInUser, SignInError> {
        let SignIn { tenant, user_name, password, new_password, address } = asked;
        let Sought { found, holder, name, tenant, .. } = self.find_user(tenant, &user_name).await?;
        // Whichever page it is tried at: a name is one in the gallery, and were a page to count, who has it would show.
        let tried = holder.map_or_else(|| self.nobody(&name), Tried::User);
        let counted = self.begin_attempt(tried, &address).await?;
        let hash = found.as_ref().and_then(|found| found.password_hash.clone());
        let is_right = match self.passwords.matches(tenant, password, hash).await {
            Ok(is_right) => is_right,
            Err(error) => {
                self.take_back(&counted).await?;
                return Err(error.into());
            }
        };
        let Some(row) = found.filter(|_| is_right) else {
            metrics::counter!("galerie_sign_in_failures_total").increment(1);
            tracing::info!(address, "a wrong user name or password");
            return Err(SignInError::Wrong);
        };
        let (id, tenant) = (row.object.id, row.object.tenant);
        self.take_back(&counted).await?;
        self.addresses.remember(id, &address, self.now_ms());
        if !row.enabled || self.is_closed_to_users(tenant) {
            return Err(SignInError::Disabled);
        }
        let mut tx = self.db.read().await?;
        if !client::is_known_in(&mut tx, client, tenant).await? {
            return Err(SignInError::UnknownApplication);
        }
        resource::roles_at_client(&mut tx, tenant, id, client.app_id).await?;
        drop(tx);
        match new_password {
            Some(new) => self.change_password(&row, new).await?,
            None if row.must_change => return Err(SignInError::MustChange),
            None => {}
        }
        Ok(SignedInUser { id, tenant, name: row.name })
    }

    async fn find_user(&self, wanted: Option<Uuid>, user_name: &str) -> Result<Sought, SignInError> {
        let mut tx = self.db.read().await?;
        // As users' names are compared, in all that follows: were the domain to be compared in another way than the name, a
        // spelling of it would tell.
        let mut name = user::name_key(user_name.trim());
        if !name.contains('@')
            && let Some(domain) = domain_of_short_names(&mut tx, wanted).await?
        {
            name = format!("{name}@{domain}");
        }
        let found = user::find_by_name(&mut tx, &name).await?;
        let holder = found.as_ref().map(|found| found.object.id);
        let found = found.filter(|found| wanted.is_none_or(|wanted| wanted == found.object.tenant));
        // Looked up whether it is needed or not: the time that it takes would tell.
        let by_domain = match name.split_once('@') {
            Some((_, domain)) => tenant::find_by_domain(&mut tx, domain).await?.map(|tenant| tenant.id),
            None => None,
        };
        Ok(Sought { found, holder, name, tenant: wanted.or(by_domain), by_domain })
    }

    /// Who a sign-in that failed was meant for, as the audit may name them: a user that there is, or a name of a tenant's domain. Any
    /// other text is not repeated; it may be a password in the wrong field.
    ///
    /// # Errors
    /// The catalogue's.
    pub async fn tried_user(&self, wanted: Option<Uuid>, user_name: &str) -> Result<Option<String>, IdentityError> {
        match self.find_user(wanted, user_name).await {
            Ok(Sought { found: Some(found), .. }) => Ok(Some(found.name)),
            Ok(Sought { by_domain: Some(_), .. }) => {
                Ok(user_name.trim().parse::<UserName>().ok().map(|name| name.to_string()))
            }
            Err(SignInError::Identity(error)) => Err(error),
            Ok(_) | Err(_) => Ok(None),
        }
    }

    /// What a name is counted by that nobody has. It is one wherever and however it is written, as a user's is.
    fn nobody(&self, name: &str) -> Tried {
        let name: String = name.to_lowercase().chars().take(LONGEST_NAME_CHARS).collect();
        Tried::Nobody(self.keys.tag_text(NOBODY, &name))
    }

    /// Counts an attempt as a wrong one before it is looked at. A name that nobody has meets the same pauses at the same cost, so that
    /// neither tells which names there are.
    async fn begin_attempt(&self, tried: Tried, address: &str) -> Result<CountedAttempt, SignInError> {
        let is_known = matches!(tried, Tried::User(user) if self.addresses.knows(user, address));
        transact!(&self.db, |tx| -> Result<CountedAttempt, SignInError> {
            let now_ms = tx.now_ms().await?;
            let former = wrong_passwords::find(tx, &tried).await?;
            if let Some(until_ms) = guessing::paused_until(former, now_ms)
                && !is_known
            {
                return Err(SignInError::slow(until_ms, now_ms));
            }
            let counted = guessing::one_more(former, now_ms);
            wrong_passwords::set(tx, &tried, counted).await?;
            Ok(CountedAttempt { tried: tried.clone(), counted, former_ms: former.last_ms })
        })
    }

    /// An attempt was none, or a right one. What others tried meanwhile stays: a user's signing in must not show in the pauses.
    async fn take_back(&self, attempt: &CountedAttempt) -> Result<(), SignInError> {
        let CountedAttempt { tried, counted, former_ms } = attempt;
        transact!(&self.db, |tx| -> Result<(), SignInError> {
            Ok(wrong_passwords::take_back(tx, tried, *counted, *former_ms).await?)
        })
    }

    /// Gives a user who knows the former password another one, which ends all sessions.
    async fn change_password(&self, known: &UserRow, new: SecretString) -> Result<(), SignInError> {
        password::check(&new, &known.name)?;
        let tenant = known.object.tenant;
        if self.passwords.matches(Some(tenant), new.clone(), known.password_hash.clone()).await? {
            return Err(SignInError::Weak(WeakPassword::Same));
        }
        let hash = self.passwords.hash(tenant, new).await?;
        transact!(&self.db, |tx| -> Result<(), SignInError> {
            let found = user::find(tx, known.object.id).await?;
            // Somebody else may have changed it meanwhile.
            let Some(mut row) = found.filter(|found| found.password_hash == known.password_hash) else {
                return Err(SignInError::Wrong);
            };
            (row.password_hash, row.must_change) = (Some(hash.clone()), false);
            row.sessions_valid_ms = token::valid_after(row.sessions_valid_ms, tx.now_ms().await?);
            user::update(tx, &row).await?;
            Ok(session::delete_of_user(tx, row.object.id).await?)
        })
    }
}

/// What stands behind the `@` of a name that has none: the tenant's domain, where it is known whose users may sign in.
async fn domain_of_short_names(tx: &mut Connection, wanted: Option<Uuid>) -> Result<Option<String>, db::Error> {
    if let Some(wanted) = wanted {
        return Ok(tenant::find(tx, wanted).await?.map(|tenant| tenant.default_domain));
    }
    Ok(match tenant::list(tx).await?.as_slice() {
        [only] => Some(only.default_domain.clone()),
        _ => None,
    })
}
