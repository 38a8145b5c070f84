//! Guessing: pauses by user, by name, by network; what tells nobody which users there are.

use uuid::Uuid;

use super::{Flow, PASSWORD};
use crate::{
    db::{self, transact},
    identity::{IdentityError, SignIn, SignInError, guessing},
    testing::World,
};

#[tokio::test]
async fn guessing_is_slowed_and_nobody_is_locked_out() {
    let flow = Flow::new().await;
    let identity = flow.world.control.identity();
    let guess = async |address: &str, password: &str| {
        let typed = SignIn { address: address.to_owned(), ..flow.typed("ada@galerie.internal", password) };
        identity.sign_in(&flow.client, typed).await
    };
    guess("home", PASSWORD).await.unwrap();
    for attempt in 0..5 {
        // From many addresses, as guessers come.
        assert!(matches!(guess(&format!("g{attempt}"), "wrong horse").await, Err(SignInError::Wrong)), "{attempt}");
    }
    assert!(matches!(guess("g6", "wrong horse").await, Err(SignInError::Slow(1..=2))));
    assert!(matches!(guess("g6", PASSWORD).await, Err(SignInError::Slow(_))), "not even the right one");
    // Where she signed in before she is not held up by others.
    guess("home", PASSWORD).await.unwrap();
    assert!(matches!(guess("g7", "wrong horse").await, Err(SignInError::Slow(_))), "nor does that show to them");
    flow.world.clock.advance(61_000);
    guess("elsewhere", PASSWORD).await.unwrap();
    let strangers = guess("g8", "wrong horse").await;
    assert!(
        matches!(strangers, Err(SignInError::Wrong)),
        "her attempt was no wrong one, so no pause began: {strangers:?}"
    );
    // A name that nobody has is slowed alike.
    let nobody = async |address: &str| {
        let typed = SignIn { address: address.to_owned(), ..flow.typed("nobody@galerie.internal", "x") };
        identity.sign_in(&flow.client, typed).await
    };
    for attempt in 0..5 {
        assert!(matches!(nobody(&format!("h{attempt}")).await, Err(SignInError::Wrong)), "{attempt}");
    }
    assert!(matches!(nobody("h6").await, Err(SignInError::Slow(1..=2))));
    // An address is slowed whatever names it tries.
    for number in 0..30 {
        let typed =
            SignIn { address: "bot".to_owned(), ..flow.typed(&format!("nobody{number}@galerie.internal"), "x") };
        assert!(matches!(identity.sign_in(&flow.client, typed).await, Err(SignInError::Wrong)));
    }
    assert!(matches!(guess("bot", PASSWORD).await, Err(SignInError::Slow(_))));
}

/// Regression: whoever hung up while an attempt was judged had not tried.
#[tokio::test]
async fn hanging_up_and_asking_during_a_pause_count_for_the_address() {
    let flow = Flow::new().await;
    let identity = flow.world.control.identity();
    let guess = async |address: &str, name: &str| {
        let typed = SignIn { address: address.to_owned(), ..flow.typed(name, "wrong horse") };
        identity.sign_in(&flow.client, typed).await.unwrap_err()
    };
    for number in 0..30 {
        // Each another name: what is paused is answered at once.
        let name = format!("n{number}@galerie.internal");
        let mut asked = std::pin::pin!(guess("hasty", &name));
        assert!(futures::poll!(&mut asked).is_pending());
    }
    assert!(matches!(guess("hasty", "zoe@galerie.internal").await, SignInError::Slow(60..)));
    for _ in 0..5 {
        assert!(matches!(guess("g", "bob@galerie.internal").await, SignInError::Wrong));
    }
    for _ in 0..25 {
        assert!(matches!(guess("g", "bob@galerie.internal").await, SignInError::Slow(1..=2)));
    }
    assert!(matches!(guess("g", "zoe@galerie.internal").await, SignInError::Slow(60..)));
}

/// Regression: nobody's attempts were counted by what was typed, a user's by who was meant, so six attempts told them apart.
#[tokio::test]
async fn a_name_is_one_however_and_wherever_it_is_typed() {
    let flow = Flow::new().await;
    let (identity, here) = (flow.world.control.identity(), flow.world.caller.tenant);
    let other = flow.world.control.add_tenant("Other").await.unwrap().tenant;
    let attempts = std::cell::Cell::new(0);
    let attempt = async |tenant: Option<Uuid>, name: &str| {
        attempts.set(attempts.get() + 1);
        let address = format!("10.0.0.{}", attempts.get());
        let typed = SignIn { tenant, address, ..flow.typed(name, "wrong horse") };
        identity.sign_in(&flow.client, typed).await.unwrap_err()
    };
    for (name, is_user) in [("ada", true), ("zoe", false)] {
        let whole = format!("{name}@galerie.internal");
        let (upper, pages) = (whole.to_uppercase(), [Some(other), Some(here), None]);
        let typed = [(Some(other), &*whole), (Some(here), name), (None, &upper), (Some(here), &whole), (None, &whole)];
        for (page, typed) in typed {
            assert!(matches!(attempt(page, typed).await, SignInError::Wrong), "{name}, a user: {is_user}");
        }
        for page in pages {
            assert!(matches!(attempt(page, &whole).await, SignInError::Slow(_)), "{name}, a user: {is_user}, {page:?}");
        }
    }
    // Regression: of a name that nobody has the page was counted, too, once no tenant had its domain any more.
    flow.world.control.tenant_update(&flow.operator(), here, None, Some("bank.example")).await.unwrap();
    flow.world.clock.advance(24 * 3_600_000 + 1);
    for name in ["ada@galerie.internal", "zoe@galerie.internal"] {
        for _ in 0..5 {
            assert!(matches!(attempt(None, name).await, SignInError::Wrong), "{name}");
        }
        assert!(matches!(attempt(Some(here), name).await, SignInError::Slow(_)), "{name}");
    }
    // Regression: names were compared as Unicode does and domains as ASCII does, to which U+212A is no `k`.
    flow.user("eve@bank.example").await;
    for name in ["eve@bank.example", "zoe@bank.example"] {
        let kelvin = name.replace('k', "\u{212a}");
        for _ in 0..5 {
            attempt(None, name).await;
        }
        assert!(matches!(attempt(None, &kelvin).await, SignInError::Slow(_)), "{name}");
    }
}

/// Regression: what was tried of a name that nobody has was in one process's memory, so a restart, or another process, told
/// such a name from a user's.
#[tokio::test]
async fn what_was_tried_is_known_to_every_process() {
    let flow = Flow::new().await;
    for name in ["ada@galerie.internal", "zoe@galerie.internal"] {
        let attempt = async |world: &World, address: &str| {
            let typed = SignIn { address: address.to_owned(), ..flow.typed(name, "wrong horse") };
            world.control.identity().sign_in(&flow.client, typed).await.unwrap_err()
        };
        for number in 0..5 {
            let error = attempt(&flow.world, &format!("10.0.0.{number}")).await;
            assert!(matches!(error, SignInError::Wrong), "{name}: {error}");
        }
        let other = flow.world.reopen().await;
        let error = attempt(&other, "10.0.1.1").await;
        assert!(matches!(error, SignInError::Slow(1..=2)), "{name}: {error}");
        // A day later none of it counts, and nothing of nobody is left.
        flow.world.clock.advance(24 * 3_600_000 + 1);
        for number in 0..5 {
            let error = attempt(&other, &format!("10.0.2.{number}")).await;
            assert!(matches!(error, SignInError::Wrong), "{name}: {error}");
        }
        assert!(matches!(attempt(&other, "10.0.3.1").await, SignInError::Slow(1..=2)), "{name}");
        other.control.shutdown().await;
    }
    flow.world.clock.advance(24 * 3_600_000 + 1);
    for names in [1, 0] {
        let forgotten = transact!(flow.world.control.db(), |tx| -> db::Result<u64> {
            let now_ms = tx.now_ms().await?;
            guessing::forget(tx, now_ms).await
        });
        assert_eq!(forgotten.unwrap(), names);
    }
}

/// Regression: ten thousand requests from one address, of nobody in particular, kept all devices out for a quarter of an hour.
#[tokio::test]
async fn one_address_does_not_take_all_the_places_of_devices() {
    let flow = Flow::new().await;
    let identity = flow.world.control.identity();
    let begin = async |address| identity.device_begin(&flow.client, None, "s", address).await;
    let mut begun = 0;
    while begin("198.51.100.7").await.is_ok() {
        begun += 1;
        assert!(begun < 10_000);
    }
    assert!(begun >= 100, "a site behind one address signs in, too: {begun}");
    assert!(matches!(begin("198.51.100.7").await, Err(IdentityError::Busy)));
    begin("192.0.2.1").await.unwrap();
    flow.world.clock.advance(15 * 60 * 1000 + 1);
    begin("198.51.100.7").await.unwrap();
}
