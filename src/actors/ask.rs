//! Calls between actors, with the timeout that every call has.

use ractor::rpc::CallResult;
use ractor::{ActorRef, Message, RpcReplyPort};

use crate::domain::Error;
use crate::limits::CALL_TIMEOUT;

/// Asks an actor, and waits for its answer for at most [`CALL_TIMEOUT`]. `Unavailable` if the actor is gone or too busy.
pub async fn ask<M: Message, T: Send + 'static>(actor: &ActorRef<M>, message: impl FnOnce(RpcReplyPort<T>) -> M) -> Result<T, Error> {
    match actor.call(message, Some(CALL_TIMEOUT)).await {
        Ok(CallResult::Success(answer)) => Ok(answer),
        Ok(CallResult::Timeout) => Err(Error::unavailable(format!("no answer within {} s: try again", CALL_TIMEOUT.as_secs()))),
        Ok(CallResult::SenderError) | Err(_) => {
            Err(Error::unavailable("the head is shutting down, or restarting a part of itself: try again"))
        }
    }
}
