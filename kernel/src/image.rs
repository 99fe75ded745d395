//! Images: checked executables. The host does the checking, in the background; the
//! thread that asked waits.

use crate::activity::Activity;
use crate::authority::{Authority, Header};
use crate::commit::{Activity as Doing, Authority as Change, Decision, Outcome, Place};
use crate::effect::Effect;
use crate::encoding::fields;
use crate::ids::*;
use crate::input::Hash;
use crate::quota::OBJECT_PRICE;
use crate::thread::{Checking, State};
use crate::{Caller, Kernel};
use abi::{Error, FOREVER, Handle, Kind, Name, PAGE_SIZE, Returned, Rights};

/// One image.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub struct Image {
    pub(crate) header: Header,
    /// BLAKE3 of the executable.
    pub hash: Hash,
    /// Its bytes.
    pub length: u64,
    /// For people.
    pub name: Name,
}
fields!(Image: header hash length name);

/// Pages that an executable of so many bytes takes.
pub(crate) fn image_pages(length: u64) -> u64 {
    length.div_ceil(PAGE_SIZE as u64)
}

impl Authority {
    pub(crate) fn image_created(
        &mut self,
        image: ImageId,
        quota: QuotaId,
        hash: Hash,
        length: u64,
        name: Name,
        place: Option<Place>,
    ) {
        // What the host brought is not paid for in pages.
        let header = if quota.is_none() {
            Header::new(quota, 0, 0)
        } else {
            Header::new(quota, OBJECT_PRICE, image_pages(length))
        };
        self.images.insert(image.0, Image { header, hash, length, name });
        self.enrol(image.into());
        if let Some(place) = place {
            self.first_capability(image.into(), place, Kind::Image.rights());
        }
    }
}

impl Activity {
    pub(crate) fn image_checking(
        &mut self,
        thread: ThreadId,
        quota: Handle,
        region: RegionId,
        length: u64,
        name: Name,
    ) {
        self.block(thread, State::AtHost, FOREVER);
        self.detail(thread).checking = Some(Checking { quota, length, name });
        self.effects.push_back(Effect::CheckImage { thread, region, length });
    }

    /// The image that a thread waits for is there.
    pub(crate) fn image_checked(&mut self, thread: ThreadId, handle: Handle) {
        self.detail(thread).checking = None;
        self.finish_wait(thread, Ok(Returned::Handle(handle)));
    }
}

impl Kernel {
    pub(crate) fn decide_image_create(
        &self,
        caller: Caller,
        quota: Handle,
        region: Handle,
        length: u64,
        name: Name,
    ) -> Result<Decision, Error> {
        let payer = self.paying(caller, quota)?;
        let region = self.span(caller, region, Rights::READ, 0, length)?;
        if length == 0 {
            return Err(Error::InvalidArgument);
        }
        // Asked again when the image is made; asked here so that nothing is checked in vain.
        self.afford(payer, OBJECT_PRICE, image_pages(length))?;
        self.place(caller.process, 0)?;
        Ok(Decision::new(Outcome::Blocked, Doing::ImageChecking { thread: caller.thread, quota, region, length, name }))
    }

    /// The host has checked: the image is made, or the wait ends with an error.
    pub(crate) fn decide_host_done(
        &self,
        thread: ThreadId,
        result: Result<Hash, Error>,
        now: u64,
    ) -> Result<Decision, Error> {
        let record = self.activity.view(thread);
        let checking = self.activity.detail_view(thread).checking.filter(|_| record.state == State::AtHost);
        let Some(Checking { quota, length, name }) = checking else { return Err(Error::InvalidArgument) };
        let caller = Caller { thread, process: record.process, now };
        let made = result.and_then(|hash| {
            // The handle was good when the call was made: by now it may be gone.
            let quota = self.paying(caller, quota).map_err(|_| Error::Revoked)?;
            self.afford(quota, OBJECT_PRICE, image_pages(length))?;
            let place = Some(self.place(caller.process, 0)?);
            let image = ImageId(self.authority.images.vacant()?);
            Ok(Change::ImageCreated { image, quota, creator: thread, hash, length, name, place })
        });
        Ok(match made {
            Ok(change) => Decision::done(Returned::Nothing, change),
            Err(error) => Decision::done(Returned::Nothing, Doing::Failed { thread, error }),
        })
    }
}
