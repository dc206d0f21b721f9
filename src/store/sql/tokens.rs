//! Token rows: the lease, and the fenced writes under it.

use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Expr, ExprTrait as _, OnConflict};
use sea_orm::{
    ColumnTrait as _, Condition, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _, UpdateMany,
};

use super::super::{
    Commit, DueToken, DueWindow, ForeignRefreshes, Lease, RecordedFailure, StoreResult,
    StoredToken, TokenRow,
};
use super::entities::token::{ActiveModel, Column, Entity, Model, of};
use super::sealed::{Place, read_outputs, read_token, write_outputs, write_token};
use super::{SqlStore, is_nowhere};
use crate::clock::Timestamp;
use crate::secret::SecretId;
use crate::token::Life;

pub(super) async fn find(store: &SqlStore, id: &SecretId) -> StoreResult<Option<TokenRow>> {
    find_model(store, id)
        .await?
        .map(|model| open(id, &model))
        .transpose()
}

async fn find_model(store: &SqlStore, id: &SecretId) -> StoreResult<Option<Model>> {
    if is_nowhere(Some(&id.realm), Some(&id.key)) {
        return Ok(None);
    }
    let key = (id.realm.clone(), id.key.clone());
    store
        .run(|| Entity::find_by_id(key.clone()).one(&store.db))
        .await
}

pub(super) async fn claim_lease(
    store: &SqlStore,
    id: &SecretId,
    owner: &str,
    now: Timestamp,
    until: Timestamp,
) -> StoreResult<Option<Lease>> {
    let (epoch, held_until) = if let Some(model) = find_model(store, id).await? {
        (model.lease_epoch, model.lease_until)
    } else {
        insert_empty(store, id, now).await?;
        (0, 0)
    };
    if held_until > now.epoch_ms() {
        return Ok(None);
    }
    // Only one of those who saw this epoch moves it on.
    let claim = ActiveModel {
        lease_owner: Set(Some(owner.to_owned())),
        lease_epoch: Set(epoch + 1),
        lease_until: Set(until.epoch_ms()),
        ..Default::default()
    };
    let statement = of(id)
        .set(claim)
        .filter(Column::LeaseEpoch.eq(epoch))
        .filter(Column::LeaseUntil.lte(now.epoch_ms()));
    let outcome = store.run(|| statement.clone().exec(&store.db)).await?;
    let lease = Lease {
        id: id.clone(),
        owner: owner.to_owned(),
        epoch: epoch + 1,
        until,
    };
    Ok((outcome.rows_affected == 1).then_some(lease))
}

/// Adds the row if it is not there. Whether it was is not asked: databases tell it differently, and
/// the conditional update that follows judges.
async fn insert_empty(store: &SqlStore, id: &SecretId, now: Timestamp) -> StoreResult<()> {
    let row = ActiveModel {
        realm: Set(id.realm.clone()),
        key: Set(id.key.clone()),
        changed_at: Set(now.epoch_ms()),
        ..Default::default()
    };
    let on_conflict = OnConflict::columns([Column::Realm, Column::Key])
        .do_nothing_on([Column::Realm, Column::Key])
        .to_owned();
    let statement = || Entity::insert(row.clone()).on_conflict(on_conflict.clone());
    store
        .run(|| async {
            match statement().exec_without_returning(&store.db).await {
                Ok(_) | Err(sea_orm::DbErr::RecordNotInserted) => Ok(()),
                Err(error) => Err(error),
            }
        })
        .await
}

pub(super) async fn commit(store: &SqlStore, lease: &Lease, commit: &Commit) -> StoreResult<bool> {
    let token = &commit.token;
    let mut row = ActiveModel {
        version: Set(commit.version),
        token: Set(Some(write_token(&token.text))),
        outputs: Set(write_outputs(&token.outputs)),
        obtained_at: Set(Some(token.life.obtained_at.epoch_ms())),
        expires_at: Set(token.life.expires_at.map(Timestamp::epoch_ms)),
        realm_version: Set(token.realm_version),
        secret_version: Set(token.secret_version),
        due_at: Set(commit.due_at.map(Timestamp::epoch_ms)),
        next_attempt_at: Set(None),
        // The failure stays, for the operator: a count of 0 says that it is over.
        failed_attempts: Set(0),
        repeat_count: Set(commit.repeat_count),
        lease_owner: Set(None),
        lease_until: Set(0),
        changed_at: Set(commit.at.epoch_ms()),
        ..Default::default()
    };
    if commit.was_asked {
        row.last_asked_at = Set(Some(commit.at.epoch_ms()));
    }
    if let Some((previous, until)) = &commit.previous {
        row.previous_token = Set(Some(write_token(previous)));
        row.previous_valid_until = Set(until.map(Timestamp::epoch_ms));
    }
    let mut statement = of_lease(lease);
    if commit.is_foreign {
        row.foreign_refresh_at = Set(Some(commit.at.epoch_ms()));
        statement = statement.col_expr(
            Column::ForeignRefreshes,
            Expr::col(Column::ForeignRefreshes).add(1),
        );
    }
    let statement = statement.set(row);
    let outcome = store.run(|| statement.clone().exec(&store.db)).await?;
    Ok(outcome.rows_affected == 1)
}

pub(super) async fn release(
    store: &SqlStore,
    lease: &Lease,
    failure: Option<&RecordedFailure>,
) -> StoreResult<bool> {
    let mut row = ActiveModel {
        lease_owner: Set(None),
        lease_until: Set(0),
        ..Default::default()
    };
    if let Some(failure) = failure {
        row.failure = Set(Some(serde_json::to_string(failure).unwrap_or_default()));
        row.next_attempt_at = Set(Some(failure.next_attempt_at.epoch_ms()));
    }
    let mut statement = of_lease(lease).set(row);
    if failure.is_some() {
        statement = statement.col_expr(
            Column::FailedAttempts,
            Expr::col(Column::FailedAttempts).add(1),
        );
    }
    let outcome = store.run(|| statement.clone().exec(&store.db)).await?;
    Ok(outcome.rows_affected == 1)
}

pub(super) async fn list_due(
    store: &SqlStore,
    window: &DueWindow,
    after: Option<&DueToken>,
    most: u64,
) -> StoreResult<Vec<DueToken>> {
    let DueWindow {
        by,
        asked_since,
        grants_by,
    } = window;
    let is_wanted = Condition::any()
        .add(Column::LastAskedAt.gte(asked_since.epoch_ms()))
        .add(Column::GrantExpiresAt.lte(grants_by.epoch_ms()));
    let query = Entity::find()
        .select_only()
        .columns([Column::Realm, Column::Key, Column::DueAt])
        .filter(Column::DueAt.lte(by.epoch_ms()))
        .filter(is_wanted)
        .filter(later_than(after))
        .order_by_asc(Column::DueAt)
        .order_by_asc(Column::Realm)
        .order_by_asc(Column::Key)
        .limit(most);
    let rows = store
        .run(|| {
            query
                .clone()
                .into_tuple::<(String, String, i64)>()
                .all(&store.db)
        })
        .await?;
    let due = |(realm, key, due_at)| DueToken {
        id: SecretId { realm, key },
        due_at: Timestamp::from_epoch_ms(due_at),
    };
    Ok(rows.into_iter().map(due).collect())
}

/// Behind a row in the order by (`due_at`, realm, key).
fn later_than(after: Option<&DueToken>) -> Condition {
    let Some(DueToken { id, due_at }) = after else {
        return Condition::all();
    };
    let same_time = || Condition::all().add(Column::DueAt.eq(due_at.epoch_ms()));
    let behind = Condition::any()
        .add(Column::DueAt.gt(due_at.epoch_ms()))
        .add(same_time().add(Column::Realm.gt(&id.realm)))
        .add(
            same_time()
                .add(Column::Realm.eq(&id.realm))
                .add(Column::Key.gt(&id.key)),
        );
    // Follows from the rest; no database takes an OR for the start of a range, and each page would
    // read all before it.
    Condition::all()
        .add(Column::DueAt.gte(due_at.epoch_ms()))
        .add(behind)
}

pub(super) async fn note_asked(store: &SqlStore, id: &SecretId, at: Timestamp) -> StoreResult<()> {
    let asked = ActiveModel {
        last_asked_at: Set(Some(at.epoch_ms())),
        ..Default::default()
    };
    let statement = of(id).set(asked);
    store
        .run(|| statement.clone().exec(&store.db))
        .await
        .map(|_| ())
}

pub(super) async fn retire(
    store: &SqlStore,
    realm: &str,
    key: Option<&str>,
    now: Timestamp,
) -> StoreResult<()> {
    if is_nowhere(Some(realm), key) {
        return Ok(());
    }
    let blank = ActiveModel {
        token: Set(None),
        outputs: Set(None),
        grant_content: Set(None),
        grant_expires_at: Set(None),
        grant_intent: Set(None),
        obtained_at: Set(None),
        expires_at: Set(None),
        due_at: Set(None),
        previous_token: Set(None),
        previous_valid_until: Set(None),
        next_attempt_at: Set(None),
        failure: Set(None),
        failed_attempts: Set(0),
        repeat_count: Set(0),
        foreign_refreshes: Set(0),
        foreign_refresh_at: Set(None),
        lease_owner: Set(None),
        lease_until: Set(0),
        changed_at: Set(now.epoch_ms()),
        ..Default::default()
    };
    let of_key = Condition::all().add_option(key.map(|key| Column::Key.eq(key)));
    let of_realm = Entity::update_many()
        .filter(Column::Realm.eq(realm))
        .filter(of_key);
    let next = |column: Column| Expr::col(column).add(1);
    let statement = of_realm
        .set(blank)
        .col_expr(Column::LeaseEpoch, next(Column::LeaseEpoch))
        .col_expr(Column::GrantGeneration, next(Column::GrantGeneration));
    store.run(|| statement.clone().exec(&store.db)).await?;
    Ok(())
}

/// The row, while this lease is its latest and not given back.
fn of_lease(lease: &Lease) -> UpdateMany<Entity> {
    of(&lease.id)
        .filter(Column::LeaseEpoch.eq(lease.epoch))
        .filter(Column::LeaseOwner.eq(&lease.owner))
}

pub(super) fn open(id: &SecretId, model: &Model) -> StoreResult<TokenRow> {
    let place = |column| Place {
        table: "ts_token",
        column,
        key: id,
    };
    let text = model
        .token
        .as_deref()
        .map(|bytes| read_token(bytes, place("token")))
        .transpose()?;
    let outputs = model
        .outputs
        .as_deref()
        .map(|bytes| read_outputs(bytes, place("outputs")))
        .transpose()?;
    let token = text
        .zip(model.obtained_at)
        .map(|(text, obtained_at)| StoredToken {
            text,
            outputs: outputs.unwrap_or_default(),
            life: Life {
                obtained_at: Timestamp::from_epoch_ms(obtained_at),
                expires_at: model.expires_at.map(Timestamp::from_epoch_ms),
            },
            realm_version: model.realm_version,
            secret_version: model.secret_version,
        });
    let failure: Option<RecordedFailure> = model
        .failure
        .as_deref()
        .and_then(|text| serde_json::from_str(text).ok());
    Ok(TokenRow {
        id: id.clone(),
        version: model.version,
        token,
        due_at: model.due_at.map(Timestamp::from_epoch_ms),
        previous_valid_until: model.previous_valid_until.map(Timestamp::from_epoch_ms),
        lease_epoch: model.lease_epoch,
        lease_until: Timestamp::from_epoch_ms(model.lease_until),
        failure,
        failed_attempts: model.failed_attempts,
        repeat_count: model.repeat_count,
        foreign_refreshes: ForeignRefreshes {
            count: model.foreign_refreshes,
            last_at: model.foreign_refresh_at.map(Timestamp::from_epoch_ms),
        },
        grant: super::grants::open(model, place("grant_content"))?,
    })
}
