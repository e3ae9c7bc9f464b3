// What a program may have to know about an error, beside its code: a reason,
// and what belongs to it. Servers send them as google.rpc.ErrorInfo (see
// messenger.proto); they come with each absl::Status of the library, and are
// there for as long as the status is passed on, not made anew of its text.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace messenger {

// Why something failed. Servers to come may have others.
namespace reason {

// RESOURCE_EXHAUSTED: the server's disk is full, or the memory of its log.
// Nothing was stored; there may be room later.
inline constexpr std::string_view kStorageFull = "STORAGE_FULL";
// UNAVAILABLE: the server's storage has failed. It takes no messages until an
// operator has seen to it.
inline constexpr std::string_view kStorageFailed = "STORAGE_FAILED";
// RESOURCE_EXHAUSTED: there are as many of something as the server keeps.
// `limit` names the option, such as max_channels, and `value` is what it is.
inline constexpr std::string_view kLimitReached = "LIMIT_REACHED";
// UNAVAILABLE: the server has too much to store at present.
inline constexpr std::string_view kOverloaded = "OVERLOADED";
// UNAVAILABLE: the server is draining.
inline constexpr std::string_view kShuttingDown = "SHUTTING_DOWN";
// UNAVAILABLE, of Client::CheckHealth alone: the server is there, but says that
// it takes no messages.
inline constexpr std::string_view kNotServing = "NOT_SERVING";
// UNAVAILABLE, of a client alone: something is there, but the client and it do
// not agree on a connection: certificates, TLS or not, its version.
inline constexpr std::string_view kHandshakeFailed = "HANDSHAKE_FAILED";

// FAILED_PRECONDITION, of a producer's message (see Client::SendAs). What the
// server takes from it next is `expected_sequence`, where that is there.
//
// The server does not know the producer, or no longer. (Of a named producer,
// there is no `expected_sequence`.)
inline constexpr std::string_view kProducerUnknown = "PRODUCER_UNKNOWN";
// Numbers before this one have not been stored.
inline constexpr std::string_view kProducerSequenceSkips =
    "PRODUCER_SEQUENCE_SKIPS";
// The number was stored with another content.
inline constexpr std::string_view kProducerSequenceReused =
    "PRODUCER_SEQUENCE_REUSED";
// The number was stored, so long ago that the contents cannot be compared.
inline constexpr std::string_view kProducerSequenceTooOld =
    "PRODUCER_SEQUENCE_TOO_OLD";

// The named producer was opened once more since: there is another process of
// its name. Its present generation is `generation`.
inline constexpr std::string_view kProducerFenced = "PRODUCER_FENCED";

// PERMISSION_DENIED: the producer id, or the name of the producer, belongs to
// another identity, which used it first.
inline constexpr std::string_view kProducerOwned = "PRODUCER_OWNED";

// FAILED_PRECONDITION: the channel has another message with this idempotency
// key.
inline constexpr std::string_view kIdempotencyKeyReused =
    "IDEMPOTENCY_KEY_REUSED";

// ABORTED: the condition of an append does not hold (see
// SendOptions::expected_last). What the channel's last message is:
// `last_sequence`, of the epoch `epoch`.
inline constexpr std::string_view kWrongLastSequence = "WRONG_LAST_SEQUENCE";

// What messenger/security.h is about.
//
// PERMISSION_DENIED: the server takes this call only by an encrypted
// connection,
inline constexpr std::string_view kEncryptionRequired = "ENCRYPTION_REQUIRED";
// or by one of its own machine: nobody has said yet how it is to be protected.
inline constexpr std::string_view kProtected = "PROTECTED";
// UNAUTHENTICATED: the server does not know the bearer token, or no longer,
inline constexpr std::string_view kTokenInvalid = "TOKEN_INVALID";
// or its time is over.
inline constexpr std::string_view kTokenExpired = "TOKEN_EXPIRED";
// UNAUTHENTICATED: callers without an identity may not do this.
inline constexpr std::string_view kCredentialsRequired = "CREDENTIALS_REQUIRED";
// PERMISSION_DENIED: `identity` has not the right `right` in `channel`.
inline constexpr std::string_view kRightMissing = "RIGHT_MISSING";

// INVALID_ARGUMENT: the request has a field that the server does not know, so
// it is older than the client. `field` is its number, `message` whose it is.
inline constexpr std::string_view kUnknownField = "UNKNOWN_FIELD";
// INVALID_ARGUMENT: a text is not UTF-8. `field` names it.
inline constexpr std::string_view kInvalidUtf8 = "INVALID_UTF8";

}  // namespace reason

// The reason of an error; empty if none was given.
std::string ReasonOf(const absl::Status& status);

// What belongs to the reason by this name; nothing if there is no such thing.
std::optional<std::string> ReasonDetail(const absl::Status& status,
                                        std::string_view name);

}  // namespace messenger
