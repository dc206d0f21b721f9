//! Bringing the schema up to date: once, however many instances start together.

use std::time::Duration;

use sea_orm::sea_query::{Alias, ColumnDef, Expr, ExprTrait as _, Query, Table};
use sea_orm::{ConnectionTrait as _, DbErr};
use sea_orm_migration::MigratorTrait as _;
use uuid::Uuid;

use super::super::{StoreError, StoreResult};
use super::migrations::{Migrations, find_development_schema};
use super::{SqlStore, fault};
use crate::clock::{Clock as _, MachineClock};

/// One migration and whether it was applied.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct MigrationState {
    /// Its name.
    pub name: String,
    /// Whether the database has it.
    pub applied: bool,
}

impl MigrationState {
    /// Of a database that is not there yet.
    #[must_use]
    pub fn all_missing() -> Vec<Self> {
        let known = Migrations::migrations();
        known
            .iter()
            .map(|migration| Self {
                name: migration.name().to_owned(),
                applied: false,
            })
            .collect()
    }
}

/// What [`SqlStore::migrate`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Migrated {
    /// How many migrations this call applied.
    pub applied: usize,
}

/// How long the right to migrate is held before others may take it.
const LOCK_FOR: Duration = Duration::from_mins(1);
/// How long to wait for another instance's migration.
const WAIT: Duration = Duration::from_secs(90);
/// The table with the one row that is the lock.
const LOCK: &str = "ts_migration_lock";
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Creating the lock's table at the same moment fails for all but one on PostgreSQL.
const CREATE_TRIES: u32 = 20;

impl SqlStore {
    /// The migrations this program knows, and whether the database has them. Changes nothing.
    ///
    /// # Errors
    /// `NewerSchema` when the database has migrations that this program does not know;
    /// `DevelopmentSchema` when a version before the first release made it.
    pub async fn migration_state(&self) -> StoreResult<Vec<MigrationState>> {
        let known = Migrations::migrations();
        let applied = self.applied_migrations().await?;
        self.demand_released_schema(&applied).await?;
        let names: Vec<_> = known
            .iter()
            .map(|migration| migration.name().to_owned())
            .collect();
        if let Some(unknown) = applied.iter().find(|name| !names.contains(name)) {
            return Err(StoreError::NewerSchema(unknown.clone()));
        }
        let state = |name: String| MigrationState {
            applied: applied.contains(&name),
            name,
        };
        Ok(names.into_iter().map(state).collect())
    }

    /// Whether the tables of the inherited service are in this database, and nothing was stored in
    /// ours yet.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn has_only_inherited_tables(&self) -> StoreResult<bool> {
        use sea_orm::{EntityTrait as _, QuerySelect as _};
        let look = || async {
            let manager = sea_orm_migration::SchemaManager::new(&self.db);
            let theirs = manager.has_table("realm").await? && manager.has_table("secret").await?;
            let ours = super::entities::realm::Entity::find()
                .limit(1)
                .one(&self.db)
                .await?;
            Ok(theirs && ours.is_none())
        };
        self.run(look).await
    }

    async fn demand_released_schema(&self, applied: &[String]) -> StoreResult<()> {
        let look = || async {
            let manager = sea_orm_migration::SchemaManager::new(&self.db);
            find_development_schema(&manager, applied).await
        };
        match self.run(look).await? {
            None => Ok(()),
            Some(found) => Err(StoreError::DevelopmentSchema(found)),
        }
    }

    async fn applied_migrations(&self) -> StoreResult<Vec<String>> {
        let select = Query::select()
            .column("version")
            .from(Alias::new("ts_migration"))
            .to_owned();
        let query = || async {
            let manager = sea_orm_migration::SchemaManager::new(&self.db);
            if !manager.has_table("ts_migration").await? {
                return Ok(Vec::new());
            }
            let rows = self.db.query_all(&select).await?;
            rows.iter()
                .map(|row| row.try_get::<String>("", "version"))
                .collect::<Result<Vec<_>, DbErr>>()
        };
        self.run(query).await
    }

    /// Applies what is missing, under a lock that all instances share.
    ///
    /// # Errors
    /// `NewerSchema`; `DevelopmentSchema`; `Conflict` when another instance does not finish within 90 s; `Unavailable`.
    pub async fn migrate(&self) -> StoreResult<Migrated> {
        // Before anything is written: a database that is refused stays as it is.
        self.migration_state().await?;
        self.create_lock_table().await?;
        let owner = Uuid::now_v7().to_string();
        let mut waited = Duration::ZERO;
        loop {
            let missing = self
                .migration_state()
                .await?
                .iter()
                .filter(|state| !state.applied)
                .count();
            if missing == 0 {
                return Ok(Migrated::default());
            }
            if self.claim_migration(&owner).await? {
                return self.migrate_as(&owner).await;
            }
            if waited >= WAIT {
                return Err(StoreError::Conflict(
                    "another instance is migrating and does not finish".to_owned(),
                ));
            }
            tokio::time::sleep(LOOK_EVERY).await;
            waited += LOOK_EVERY;
        }
    }

    async fn migrate_as(&self, owner: &str) -> StoreResult<Migrated> {
        // Counted again: the instance that held the lock before may have done it.
        let missing = self
            .migration_state()
            .await?
            .iter()
            .filter(|state| !state.applied)
            .count();
        let outcome = Migrations::up(&self.db, None)
            .await
            .map_err(|error| fault(&error));
        let release = Query::update()
            .table(Alias::new(LOCK))
            .value("until_ms", 0)
            .and_where(Expr::col("owner").eq(owner))
            .to_owned();
        self.run(|| self.db.execute(&release)).await?;
        outcome.map(|()| Migrated { applied: missing })
    }

    async fn create_lock_table(&self) -> StoreResult<()> {
        let create = Table::create()
            .table(Alias::new(LOCK))
            .if_not_exists()
            .col(ColumnDef::new("id").big_integer().not_null().primary_key())
            .col(ColumnDef::new("owner").string_len(100).not_null())
            .col(ColumnDef::new("until_ms").big_integer().not_null())
            .to_owned();
        let mut tries = 1;
        while let Err(error) = self.run(|| self.db.execute(&create)).await {
            if self.run(|| self.db.ping()).await.is_err() || tries >= CREATE_TRIES {
                return Err(error);
            }
            tries += 1;
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let row = Query::insert()
            .into_table(Alias::new(LOCK))
            .columns(["id", "owner", "until_ms"])
            .values_panic([1.into(), "".into(), 0.into()])
            .to_owned();
        // Fails when the row is there; the claim that follows judges.
        let _ = self.run(|| self.db.execute(&row)).await;
        Ok(())
    }

    /// Writes the lock's row as it is: shows whether the database takes writes.
    pub(super) async fn rewrite_lock_row(&self) -> StoreResult<()> {
        let write = Query::update()
            .table(Alias::new(LOCK))
            .value("owner", Expr::col("owner"))
            .and_where(Expr::col("id").eq(1))
            .to_owned();
        self.run(|| self.db.execute(&write)).await?;
        Ok(())
    }

    async fn claim_migration(&self, owner: &str) -> StoreResult<bool> {
        let now = MachineClock.now();
        let claim = Query::update()
            .table(Alias::new(LOCK))
            .value("owner", owner)
            .value("until_ms", now.plus(LOCK_FOR).epoch_ms())
            .and_where(Expr::col("id").eq(1))
            .and_where(Expr::col("until_ms").lte(now.epoch_ms()))
            .to_owned();
        let outcome = self.run(|| self.db.execute(&claim)).await?;
        Ok(outcome.rows_affected() == 1)
    }
}
