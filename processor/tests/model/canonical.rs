//! Worlds that differ in nothing that can ever matter are made equal, so that one of them is walked.

use crate::scheme::{Demand, Others, Scheme};
use crate::world::{Batch, Insert, NONE, REBORN, Scope, Session, Stage, World};

/// Makes `world` the one that stands for all its equals.
pub(crate) fn make(world: &mut World, scope: &Scope, scheme: &Scheme) {
    name_the_dead(world, scheme);
    forget_epochs(world);
    for worker in &mut world.workers {
        if worker.read_to >= worker.dirty_until {
            worker.dirty_until = 0;
        }
        if worker.session == Session::Serving {
            for (id, first) in (0..).zip(&mut worker.first) {
                if (worker.read_to..scope.end()).all(|position| scope.id(position) != id) {
                    *first = NONE;
                }
            }
        }
        worker.queue.iter_mut().for_each(forget_what_is_done);
    }
    if scheme.demand == Demand::Final {
        let there = world.rows.there();
        world.rows = Default::default();
        world.rows.add(there);
        for insert in &mut world.inserts {
            if !insert.awaited && insert.rows.without(there).is_empty() {
                *insert = Insert::NO;
            }
        }
    }
    world.sort_inserts();
}

/// Only whether an owner's epoch is today's can matter.
fn forget_epochs(world: &mut World) {
    let today = world.books.epoch;
    for worker in &mut world.workers {
        worker.epoch = u8::from(worker.epoch == today && worker.session != Session::Idle);
    }
    world.books.epoch = 1;
}

fn forget_what_is_done(batch: &mut Batch) {
    match batch.stage {
        Stage::None | Stage::ToInsert | Stage::Sent => {}
        // Read back before anything else.
        Stage::Doubt | Stage::Ended | Stage::ToCommit => batch.missing.0 = 0,
        Stage::ToCommitToKafka => (batch.missing.0, batch.fresh.0) = (0, 0),
    }
}

/// Numbers of those who live are their places; those who have died are numbered as they are met.
fn name_the_dead(world: &mut World, scheme: &Scheme) {
    let living = world.workers.map(|worker| worker.node);
    let mut dead: [u8; 4] = [NONE; 4];
    let mut name = |node: &mut u8| {
        if *node == NONE {
            return;
        }
        if let Some(place) = living.iter().position(|living| living == node) {
            *node = place as u8;
            return;
        }
        // Where nobody asks for them by name, they are all one.
        let known = if scheme.ends.others == Others::LastOwner { *node } else { REBORN };
        let place = dead.iter().position(|other| *other == known || *other == NONE).unwrap();
        dead[place] = known;
        *node = 2 + 2 * place as u8 + *node % 2;
        if scheme.ends.others != Others::LastOwner {
            *node = 2;
        }
    };
    for insert in &mut world.inserts {
        name(&mut insert.node);
    }
    name(&mut world.books.owner);
    for worker in &mut world.workers {
        name(&mut worker.before);
        name(&mut worker.node);
    }
    if scheme.ends.others != Others::LastOwner {
        for worker in &mut world.workers {
            worker.before = NONE;
        }
        if world.books.owner >= 2 {
            world.books.owner = NONE;
        }
    }
}
