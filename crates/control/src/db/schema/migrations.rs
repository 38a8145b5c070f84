//! The migrations that this program carries, oldest first.
//!
//! Listed by hand: what reads a folder when compiling needs the database's driver compiled a second time, for the compiler.

use std::sync::LazyLock;

use sqlx::{
    SqlSafeStr,
    migrate::{Migration, MigrationType, Migrator},
};

/// Version, description, statements. A new migration is a file and a line here; what has been released never changes.
const FILES: [(i64, &str, &str); 13] = [
    (1, "catalogue", include_str!("../../../migrations/0001_catalogue.sql")),
    (2, "processes", include_str!("../../../migrations/0002_processes.sql")),
    (3, "quotas", include_str!("../../../migrations/0003_quotas.sql")),
    (4, "scrubs", include_str!("../../../migrations/0004_scrubs.sql")),
    (5, "directory", include_str!("../../../migrations/0005_directory.sql")),
    (6, "access", include_str!("../../../migrations/0006_access.sql")),
    (7, "sharing", include_str!("../../../migrations/0007_sharing.sql")),
    (8, "audit", include_str!("../../../migrations/0008_audit.sql")),
    (9, "soft delete", include_str!("../../../migrations/0009_soft_delete.sql")),
    (10, "app roles", include_str!("../../../migrations/0010_app_roles.sql")),
    (11, "packages", include_str!("../../../migrations/0011_packages.sql")),
    (12, "retention", include_str!("../../../migrations/0012_retention.sql")),
    (13, "sign ins", include_str!("../../../migrations/0013_sign_ins.sql")),
];

pub(in crate::db) static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let migration = |(version, description, statements): (i64, &'static str, &'static str)| {
        Migration::new(version, description.into(), MigrationType::Simple, statements.into_sql_str(), false)
    };
    Migrator::with_migrations(FILES.into_iter().map(migration).collect())
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_listed_under_its_name() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
        let mut found: Vec<String> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        found.sort();
        let listed =
            FILES.map(|(version, description, _)| format!("{version:04}_{}.sql", description.replace(' ', "_")));
        assert_eq!(found, listed);
    }
}
