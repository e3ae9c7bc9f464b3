// The reasons of messenger/error.h, from the side of those who give them.
//
// In a status they are payloads of text, since payloads are printed with it:
// "UNAVAILABLE: … [messenger.v1/reason='SHUTTING_DOWN']".
#pragma once

#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "messenger/error.h"

namespace messenger {

// The same error with a reason, and what belongs to it by name.
absl::Status WithReason(
    absl::Status status, std::string_view reason,
    std::initializer_list<std::pair<std::string_view, std::string>> details =
        {});

// Adds one of these.
void AddReasonDetail(absl::Status* status, std::string_view name,
                     std::string_view value);

// Calls `visit` for each of these, in any order.
void ForEachReasonDetail(
    const absl::Status& status,
    absl::FunctionRef<void(std::string_view name, std::string value)> visit);

}  // namespace messenger
