//! The statements of one import; the first that finds a row changed ends it.

use std::fmt::Display;

use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveModelTrait, ColumnTrait as _, DatabaseTransaction, DbErr, EntityTrait,
    IntoActiveModel as _, QueryFilter as _, SqlErr,
};

use super::super::super::sealing::Sealer;
use super::super::super::{RealmRow, SecretRow, StoreError, StoreResult};
use super::super::entities::{realm, secret, token};
use super::super::stored::SealedRow;
use super::super::{fault, secrets};
use super::{Import, ImportedToken};
use crate::clock::Timestamp;
use crate::secret::SecretId;

/// How many new rows one statement writes; with the largest credentials still a message that MySQL
/// takes.
const INSERT_AT_ONCE: usize = 50;
/// How many secrets one statement makes count as asked for.
const KEYS_AT_ONCE: usize = 200;

/// Writes everything.
pub(super) async fn all(
    db: &DatabaseTransaction,
    sealer: &Sealer,
    import: &Import,
) -> StoreResult<()> {
    let new = import
        .realms
        .iter()
        .filter(|(_, replaces)| replaces.is_none());
    insert(
        db,
        new.map(|(row, _)| {
            realm::Model::from(row.clone())
                .into_active_model()
                .reset_all()
        }),
    )
    .await?;
    for (row, revision) in replaced(&import.realms) {
        demand(update_realm(db, row, revision).await, 1, &row.id)?;
    }
    for (id, revision) in &import.needed_realms {
        demand(hold_realm(db, id, *revision).await, 1, id)?;
    }
    let new = import
        .secrets
        .iter()
        .filter(|(_, replaces)| replaces.is_none());
    insert(
        db,
        new.map(|(row, _)| secrets::seal(sealer, row).into_active_model().reset_all()),
    )
    .await?;
    for (row, revision) in replaced(&import.secrets) {
        demand(update_secret(db, sealer, row, revision).await, 1, &row.id)?;
    }
    let at = import.at.unwrap_or(Timestamp::from_epoch_ms(0));
    let new = import
        .tokens
        .iter()
        .filter(|imported| imported.replaces.is_none());
    insert(
        db,
        new.map(|imported| token_row(sealer, imported, (0, 0), at)),
    )
    .await?;
    for imported in &import.tokens {
        if let Some(replaces) = imported.replaces {
            demand(
                update_token(db, sealer, imported, replaces, at).await,
                1,
                &imported.id,
            )?;
        }
    }
    note_asked(db, &import.asked, at)
        .await
        .map_err(|error| fault(&error))
}

/// Makes these secrets count as asked for.
async fn note_asked(
    db: &DatabaseTransaction,
    asked: &[SecretId],
    at: Timestamp,
) -> Result<(), DbErr> {
    for of_realm in asked.chunk_by(|one, next| one.realm == next.realm) {
        for some in of_realm.chunks(KEYS_AT_ONCE) {
            let keys = some.iter().map(|id| id.key.as_str());
            token::Entity::update_many()
                .col_expr(token::Column::LastAskedAt, Expr::value(at.epoch_ms()))
                .filter(token::Column::Realm.eq(&some[0].realm))
                .filter(token::Column::Key.is_in(keys))
                .exec(db)
                .await?;
        }
    }
    Ok(())
}

fn replaced<T>(rows: &[super::Replacing<T>]) -> impl Iterator<Item = (&T, i64)> {
    rows.iter()
        .filter_map(|(row, replaces)| replaces.map(|revision| (row, revision)))
}

async fn insert<A>(db: &DatabaseTransaction, rows: impl Iterator<Item = A>) -> StoreResult<()>
where
    A: ActiveModelTrait + Send,
{
    let rows: Vec<A> = rows.collect();
    for chunk in rows.chunks(INSERT_AT_ONCE) {
        let written = A::Entity::insert_many(chunk.to_vec())
            .exec_without_returning(db)
            .await;
        demand(written, chunk.len(), &"a new row")?;
    }
    Ok(())
}

async fn update_realm(
    db: &DatabaseTransaction,
    row: &RealmRow,
    revision: i64,
) -> Result<u64, DbErr> {
    let statement = realm::Entity::update_many()
        .set(
            realm::Model::from(row.clone())
                .into_active_model()
                .reset_all(),
        )
        .filter(realm::Column::Id.eq(&row.id))
        .filter(realm::Column::Revision.eq(revision));
    Ok(statement.exec(db).await?.rows_affected)
}

/// Changes nothing, but keeps others from deleting the realm before its secrets are there.
async fn hold_realm(db: &DatabaseTransaction, id: &str, revision: i64) -> Result<u64, DbErr> {
    let statement = realm::Entity::update_many()
        .col_expr(realm::Column::Revision, Expr::value(revision))
        .filter(realm::Column::Id.eq(id))
        .filter(realm::Column::Revision.eq(revision))
        .filter(realm::Column::DeletedAt.is_null());
    Ok(statement.exec(db).await?.rows_affected)
}

async fn update_secret(
    db: &DatabaseTransaction,
    sealer: &Sealer,
    row: &SecretRow,
    revision: i64,
) -> Result<u64, DbErr> {
    let statement = secret::Entity::update_many()
        .set(secrets::seal(sealer, row).into_active_model().reset_all())
        .filter(secret::Column::Realm.eq(&row.id.realm))
        .filter(secret::Column::Key.eq(&row.id.key))
        .filter(secret::Column::Revision.eq(revision));
    Ok(statement.exec(db).await?.rows_affected)
}

async fn update_token(
    db: &DatabaseTransaction,
    sealer: &Sealer,
    imported: &ImportedToken,
    replaces: (i64, i64),
    at: Timestamp,
) -> Result<u64, DbErr> {
    let statement = token::Entity::update_many()
        .set(token_row(sealer, imported, replaces, at))
        .filter(token::Column::Realm.eq(&imported.id.realm))
        .filter(token::Column::Key.eq(&imported.id.key))
        .filter(token::Column::Version.eq(replaces.0))
        .filter(token::Column::LeaseEpoch.eq(replaces.1));
    Ok(statement.exec(db).await?.rows_affected)
}

/// The row after this version and lease epoch: a fetch that was begun before is fenced, and what
/// its failures delayed is forgotten.
///
/// When it was last asked for stays as it is; a new row has no such time, so nothing renews its
/// token in the background before somebody asks here. Nor does a grant: inherited definitions have
/// none, so what a definition before this one left in the row has no end that matters.
fn token_row(
    sealer: &Sealer,
    imported: &ImportedToken,
    (version, epoch): (i64, i64),
    at: Timestamp,
) -> token::ActiveModel {
    let token = &imported.token;
    let stored = SealedRow::of_token(sealer, &imported.id);
    token::ActiveModel {
        realm: Set(imported.id.realm.clone()),
        key: Set(imported.id.key.clone()),
        version: Set(version + 1),
        token: Set(Some(stored.column("token").write_token(&token.text))),
        outputs: Set(None),
        grant_content: NotSet,
        grant_generation: NotSet,
        grant_expires_at: Set(None),
        grant_intent: NotSet,
        obtained_at: Set(Some(token.life.obtained_at.epoch_ms())),
        expires_at: Set(token.life.expires_at.map(Timestamp::epoch_ms)),
        realm_version: Set(token.realm_version),
        secret_version: Set(token.secret_version),
        due_at: Set(imported.due_at.map(Timestamp::epoch_ms)),
        previous_token: Set(None),
        previous_valid_until: Set(None),
        lease_owner: Set(None),
        lease_epoch: Set(epoch + 1),
        lease_until: Set(0),
        next_attempt_at: Set(None),
        failure_code: Set(None),
        failed_at: Set(None),
        failure: Set(None),
        failed_attempts: Set(0),
        repeat_count: Set(0),
        foreign_refreshes: Set(0),
        foreign_refresh_at: Set(None),
        last_asked_at: NotSet,
        changed_at: Set(at.epoch_ms()),
    }
}

fn demand(written: Result<u64, DbErr>, rows: usize, what: &dyn Display) -> StoreResult<()> {
    let changed =
        || StoreError::Conflict(format!("{what} was changed while the import was prepared"));
    match written {
        Ok(count) if usize::try_from(count) == Ok(rows) => Ok(()),
        Ok(_) => Err(changed()),
        Err(error) => match error.sql_err() {
            Some(SqlErr::UniqueConstraintViolation(_)) => Err(changed()),
            _ => Err(fault(&error)),
        },
    }
}
