//! Each engine as the same small thing: put a value under a number, durable on return;
//! get it; open what is on the disk.

use crate::sectors::{ERASE, Sectors};
use ekv::flash::{Flash, PageID};
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embedded_storage_async::nor_flash::{ErrorType, NorFlash, ReadNorFlash};
use sequential_storage::cache::Cache;
use sequential_storage::cache::key_pointers::HeapKeyPointers;
use sequential_storage::cache::page_pointers::HeapPagePointers;
use sequential_storage::cache::page_states::HeapPageStates;
use sequential_storage::map::{MapConfig, MapStorage};
use std::convert::Infallible;
use storage_engine::Store;
use storage_engine::simulation::{SimulatedDisk, run};
use storage_engine::transaction::Content;

pub trait Engine: Sized {
    const NAME: &'static str;
    fn format(sectors: &Sectors) -> Option<Self>;
    fn open(sectors: &Sectors) -> Option<Self>;
    fn put(&mut self, key: u32, value: &[u8]) -> bool;
    /// `Err`: an error; `Ok(None)`: nothing there.
    fn get(&mut self, key: u32) -> Result<Option<Vec<u8>>, ()>;
}

/// ekv: log-structured merge tree on flash pages.
pub struct Ekv(ekv::Database<EkvFlash, NoopRawMutex>, Sectors);

pub struct EkvFlash(Sectors);

impl Flash for EkvFlash {
    type Error = Infallible;
    fn page_count(&self) -> usize {
        (self.0.bytes() / ERASE).min(ekv::config::MAX_PAGE_COUNT)
    }
    async fn erase(&mut self, page: PageID) -> Result<(), Infallible> {
        self.0.erase(page.index());
        Ok(())
    }
    async fn read(&mut self, page: PageID, offset: usize, data: &mut [u8]) -> Result<(), Infallible> {
        self.0.read(page.index() * ERASE + offset, data);
        Ok(())
    }
    async fn write(&mut self, page: PageID, offset: usize, data: &[u8]) -> Result<(), Infallible> {
        self.0.write(page.index() * ERASE + offset, data);
        Ok(())
    }
}

impl Engine for Ekv {
    const NAME: &'static str = "ekv 1.0";
    fn format(sectors: &Sectors) -> Option<Ekv> {
        let database = ekv::Database::new(EkvFlash(sectors.clone()), ekv::Config::default());
        run(database.format(), async {}).ok()?;
        sectors.flush();
        Some(Ekv(database, sectors.clone()))
    }
    fn open(sectors: &Sectors) -> Option<Ekv> {
        let database = ekv::Database::new(EkvFlash(sectors.clone()), ekv::Config::default());
        run(database.mount(), async {}).ok()?;
        Some(Ekv(database, sectors.clone()))
    }
    fn put(&mut self, key: u32, value: &[u8]) -> bool {
        let done = run(
            async {
                let mut transaction = self.0.write_transaction().await;
                transaction.write(&key.to_be_bytes(), value).await.is_ok() && transaction.commit().await.is_ok()
            },
            async {},
        );
        self.1.flush();
        done
    }
    fn get(&mut self, key: u32) -> Result<Option<Vec<u8>>, ()> {
        run(
            async {
                let mut buffer = [0; 1024];
                match self.0.read_transaction().await.read(&key.to_be_bytes(), &mut buffer).await {
                    Ok(length) => Ok(Some(buffer[..length].to_vec())),
                    Err(ekv::ReadError::KeyNotFound) => Ok(None),
                    Err(_) => Err(()),
                }
            },
            async {},
        )
    }
}

/// sequential-storage: a map in a ring of flash pages.
pub struct Sequential(
    MapStorage<u32, Nor, Cache<HeapPageStates, HeapPagePointers, HeapKeyPointers<u32>, u32>>,
    Sectors,
);

pub struct Nor(Sectors);

impl ErrorType for Nor {
    type Error = Infallible;
}

impl ReadNorFlash for Nor {
    const READ_SIZE: usize = 4;
    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.read(offset as usize, bytes);
        Ok(())
    }
    fn capacity(&self) -> usize {
        self.0.bytes()
    }
}

impl NorFlash for Nor {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = ERASE;
    async fn erase(&mut self, from: u32, to: u32) -> Result<(), Infallible> {
        for page in from as usize / ERASE..to as usize / ERASE {
            self.0.erase(page);
        }
        Ok(())
    }
    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Infallible> {
        self.0.write(offset as usize, bytes);
        Ok(())
    }
}

impl Sequential {
    fn new(sectors: &Sectors) -> Sequential {
        let pages = sectors.bytes() / ERASE;
        let cache = Cache::new(HeapPageStates::new(pages), HeapPagePointers::new(pages), HeapKeyPointers::new(1024));
        let map = MapStorage::new(Nor(sectors.clone()), MapConfig::new(0..sectors.bytes() as u32), cache);
        Sequential(map, sectors.clone())
    }
}

impl Engine for Sequential {
    const NAME: &'static str = "sequential-storage 8.0";
    fn format(sectors: &Sectors) -> Option<Sequential> {
        for page in 0..sectors.bytes() / ERASE {
            sectors.erase(page);
        }
        sectors.flush();
        Some(Sequential::new(sectors))
    }
    fn open(sectors: &Sectors) -> Option<Sequential> {
        Some(Sequential::new(sectors))
    }
    fn put(&mut self, key: u32, value: &[u8]) -> bool {
        let mut buffer = [0; 2048];
        let done = run(self.0.store_item(&mut buffer, &key, &value), async {}).is_ok();
        self.1.flush();
        done
    }
    fn get(&mut self, key: u32) -> Result<Option<Vec<u8>>, ()> {
        let mut buffer = [0; 2048];
        let found: Result<Option<&[u8]>, _> = run(self.0.fetch_item(&mut buffer, &key), async {});
        found.map(|value| value.map(<[u8]>::to_vec)).map_err(|_| ())
    }
}

/// littlefs2-rust: a file a key.
pub struct Littlefs(littlefs_rust::FilesystemMut<LittlefsDevice>);

pub struct LittlefsDevice(Sectors);

impl littlefs_rust::BlockDevice for LittlefsDevice {
    fn config(&self) -> littlefs_rust::Config {
        littlefs_rust::Config { block_size: ERASE, block_count: self.0.bytes() / ERASE }
    }
    fn read(&self, block: u32, offset: usize, out: &mut [u8]) -> littlefs_rust::Result<()> {
        self.0.read(block as usize * ERASE + offset, out);
        Ok(())
    }
    fn prog(&mut self, block: u32, offset: usize, data: &[u8]) -> littlefs_rust::Result<()> {
        self.0.write(block as usize * ERASE + offset, data);
        Ok(())
    }
    fn erase(&mut self, block: u32) -> littlefs_rust::Result<()> {
        self.0.erase(block as usize);
        Ok(())
    }
    fn sync(&mut self) -> littlefs_rust::Result<()> {
        self.0.flush();
        Ok(())
    }
}

impl Littlefs {
    fn path(key: u32) -> String {
        format!("/{key}")
    }
}

impl Engine for Littlefs {
    const NAME: &'static str = "littlefs2-rust 0.1";
    fn format(sectors: &Sectors) -> Option<Littlefs> {
        let mut device = LittlefsDevice(sectors.clone());
        littlefs_rust::Filesystem::format_device(&mut device).ok()?;
        sectors.flush();
        Littlefs::open(sectors)
    }
    fn open(sectors: &Sectors) -> Option<Littlefs> {
        littlefs_rust::Filesystem::mount_device_mut(LittlefsDevice(sectors.clone())).ok().map(Littlefs)
    }
    fn put(&mut self, key: u32, value: &[u8]) -> bool {
        let path = Littlefs::path(key);
        let written = match self.0.write_file(&path, value) {
            Err(littlefs_rust::Error::NotFound) => self.0.create_file(&path, value),
            written => written,
        };
        written.is_ok() && self.0.sync().is_ok()
    }
    fn get(&mut self, key: u32) -> Result<Option<Vec<u8>>, ()> {
        match self.0.read_file(&Littlefs::path(key)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(littlefs_rust::Error::NotFound) => Ok(None),
            Err(_) => Err(()),
        }
    }
}

/// This project's own.
pub struct Own(Store<SimulatedDisk>);

impl Engine for Own {
    const NAME: &'static str = "storage-engine (own)";
    fn format(sectors: &Sectors) -> Option<Own> {
        Own::open(sectors)
    }
    fn open(sectors: &Sectors) -> Option<Own> {
        run(Store::mount(sectors.disk.clone(), [1; 16]), async {}).ok().map(|(store, _)| Own(store))
    }
    fn put(&mut self, key: u32, value: &[u8]) -> bool {
        run(
            async {
                let mut transaction = self.0.begin().await;
                transaction.put(&key.to_be_bytes(), value.to_vec(), Content::None).is_ok()
                    && transaction.commit().await.is_ok()
            },
            self.0.run(),
        )
    }
    fn get(&mut self, key: u32) -> Result<Option<Vec<u8>>, ()> {
        let found = run(self.0.snapshot().get(&key.to_be_bytes()), async {});
        found.map(|value| value.map(|value| value.meta.clone())).map_err(|_| ())
    }
}
