// Whose a producer or an idempotency key is: readers see the ids of producers,
// and must not be able to break a sender with them.
#pragma once

#include <fmt/format.h>

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "base/reason.h"
#include "base/utf8.h"

namespace messenger {

// An owner is an identity, as the service knows whoever calls it: UTF-8 of at
// most so many bytes. Empty: there is none, or it is not known.
inline constexpr std::size_t kMaxOwnerSize = 256;

inline bool IsValidOwner(std::string_view owner) {
  return owner.size() <= kMaxOwnerSize && IsValidUtf8(owner);
}

// What has an owner is for that one alone, and else for everybody.
inline bool MayUse(std::string_view owner, std::string_view user) {
  return owner.empty() || owner == user;
}

// `what` names the field, and maybe the value. Whose it is, is not said.
inline absl::Status OwnedByAnother(std::string_view what) {
  return WithReason(absl::PermissionDeniedError(
                        fmt::format("{} belongs to another identity", what)),
                    reason::kProducerOwned);
}

}  // namespace messenger
