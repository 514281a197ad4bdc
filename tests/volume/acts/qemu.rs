// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! qemu's disk images, through a mount and through qemu's own GlusterFS client.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cloudsync_lab::{ADDRESS, Backing};

use super::{fails, has_program, lose_all_objects, shell, succeeds};
use crate::gate::store_proxy;
use crate::scene::{Scene, lab};

/// A cold image of 40 MiB, partly sparse, whose content is in `$scratch/raw`.
fn image(name: &str) -> Scene {
    let mut scene = Scene::new(name);
    succeeds(
        &scene,
        "head -c 12M /dev/urandom >$scratch/raw; truncate -s 20M $scratch/raw
         head -c 8M /dev/urandom >>$scratch/raw; truncate -s 40M $scratch/raw
         qemu-img convert -f raw -O qcow2 $scratch/raw disk.qcow2",
    );
    scene.archive_all("");
    scene.remount();
    scene
}

#[test]
fn qemu_img_reads_a_cold_image_through_a_mount() {
    if !has_program("qemu-img", "qemu-utils") {
        return;
    }
    let mut scene = image("qemu");
    succeeds(
        &scene,
        "qemu-img check disk.qcow2
         qemu-img convert -f qcow2 -O raw disk.qcow2 $scratch/out; cmp $scratch/raw $scratch/out",
    );
    scene.archive_all("");
    scene.remount();
    // In place: it writes to ranges that it has not read.
    succeeds(
        &scene,
        "qemu-img resize -q disk.qcow2 48M; qemu-img snapshot -c one disk.qcow2
         qemu-img check disk.qcow2; truncate -s 48M $scratch/raw
         qemu-img compare -f raw -F qcow2 $scratch/raw disk.qcow2",
    );
    scene.archive_all("");
    scene.remount();
    lose_all_objects(&scene);
    fails(
        &scene,
        "qemu-img convert -f qcow2 -O raw disk.qcow2 $scratch/lost",
    );
}

#[test]
fn qemu_img_reads_a_cold_image_through_gfapi() {
    if !has_program("qemu-img", "qemu-utils") {
        return;
    }
    let mut scene = image("qemu-api");
    let url = format!("gluster://{ADDRESS}/{}/disk.qcow2", scene.volume.name());
    let probe = shell(
        &scene,
        &format!("qemu-img info gluster://{ADDRESS}/none/none"),
    );
    if String::from_utf8_lossy(&probe.stderr).contains("Unknown protocol") {
        eprintln!("SKIPPED: this qemu-img does not know gluster://; qemu-block-extra provides it");
        return;
    }
    let read = format!("qemu-img convert -f qcow2 -O raw {url} $scratch/out");
    succeeds(&scene, &format!("{read}; cmp $scratch/raw $scratch/out"));
    scene.archive_all("");
    scene.remount();
    // Closing a gfapi volume takes ten seconds, so the result is checked through the mount.
    succeeds(
        &scene,
        &format!(
            "qemu-img resize -q {url} 48M; truncate -s 48M $scratch/raw
             qemu-img check disk.qcow2
             qemu-img compare -f raw -F qcow2 $scratch/raw disk.qcow2"
        ),
    );
    scene.archive_all("");
    scene.remount();
    lose_all_objects(&scene);
    fails(&scene, &read);
}

/// Size of the image of a machine, and of the blocks that it is written in: each repeats a byte of its own.
const IMAGE: u64 = 96 << 20;
const BLOCK: u64 = 64 << 10;

/// The byte that fills the image at an offset.
const fn filling(at: u64) -> u64 {
    at / BLOCK % 251 + 1
}

/// A proxy to the store that counts the bytes of objects that pass. Returns its URL.
fn counting_proxy(count: &Arc<AtomicU64>) -> String {
    let count = Arc::clone(count);
    store_proxy(move |exchange| {
        let length = exchange.length();
        exchange.client.write_all(exchange.answer.as_bytes())?;
        let got = std::io::copy(&mut exchange.server.take(length), exchange.client)?;
        count.fetch_add(got, Ordering::SeqCst);
        Ok(())
    })
}

/// Commands of qemu-io: a machine that boots reads its image here and there, a few blocks at a time. Each read checks
/// what it gets. Returns the bytes that they read, too.
fn reads_of_a_boot() -> (String, u64) {
    let (mut commands, mut total, mut random) = (String::new(), 0, 1_u64);
    for _ in 0..100 {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let length = 4096 << (random >> 60 & 3);
        let at = (random >> 20) % IMAGE / BLOCK * BLOCK + (random >> 16 & 1) * length;
        let _ = write!(commands, " -c 'read -q -P {} {at} {length}'", filling(at));
        total += length;
    }
    (commands, total)
}

/// Runs a script, and returns how many bytes were fetched from the store.
fn fetched(scene: &Scene, count: &AtomicU64, what: &str, script: &str) -> u64 {
    let before = count.load(Ordering::SeqCst);
    let printed = succeeds(scene, script);
    // qemu-io exits successfully.
    assert!(!printed.contains("failed"), "{what}: {printed}");
    let fetched = count.load(Ordering::SeqCst) - before;
    assert!(
        scene.is_cold("disk.qcow2"),
        "{what}: {}",
        scene.marks("disk.qcow2")
    );
    eprintln!("| {what} | {fetched} bytes fetched |");
    fetched
}

#[test]
fn a_machine_boots_from_a_cold_image_of_which_little_is_fetched() {
    if !has_program("qemu-io", "qemu-utils") {
        return;
    }
    let count = Arc::new(AtomicU64::new(0));
    let url = counting_proxy(&count);
    let settings = [("features.cloudsync-remote-read", "on")];
    let mut scene = Scene::with("boot", &settings, Backing::Ram);
    let raw: Vec<u8> = (0..IMAGE / BLOCK)
        .flat_map(|block| vec![filling(block * BLOCK) as u8; BLOCK as usize])
        .collect();
    let scratch = lab().scratch(&format!("acts-{}", scene.volume.name()));
    fs::create_dir_all(lab().outer(&scratch)).unwrap();
    fs::write(lab().outer(scratch.join("raw")), raw).unwrap();
    succeeds(
        &scene,
        "qemu-img convert -f raw -O qcow2 $scratch/raw disk.qcow2",
    );
    scene.archive_all("");
    // Not before: the proxy forwards only answers that tell their length, as those with an object's bytes do.
    let proxy = [("features.s3plugin-hostname", url.as_str())];
    scene.volume.set_all(&proxy).unwrap();
    scene.remount();
    let (reads, total) = reads_of_a_boot();
    // As libvirt does for each image when a storage pool is refreshed.
    let header = fetched(&scene, &count, "qemu-img info", "qemu-img info disk.qcow2");
    assert!(header <= 2 << 20, "qemu-img info: {header}");
    let boot = format!("{total} bytes in 100 random reads");
    let script = format!("qemu-io -r -f qcow2 disk.qcow2{reads}");
    let little = fetched(&scene, &count, &boot, &script);
    assert!(little <= 4 * total, "{boot}: {little}");
    // qemu's own client seeks when it opens an image.
    let api = format!("gluster://{ADDRESS}/{}/disk.qcow2", scene.volume.name());
    let script = format!("qemu-io -r -f qcow2 {api}{reads}");
    let little = fetched(&scene, &count, "by qemu's own client", &script);
    assert!(little <= 4 * total, "by qemu's own client: {little}");
    // A write, where nothing was read, recalls the image.
    let script = format!(
        "qemu-io -f qcow2 disk.qcow2 -c 'write -q -P 255 5M 64k'{reads} -c 'read -q -P 255 5M 64k' -c flush
         qemu-img check disk.qcow2"
    );
    let printed = succeeds(&scene, &script);
    assert!(!printed.contains("failed"), "{printed}");
    scene.await_local("disk.qcow2");
}
