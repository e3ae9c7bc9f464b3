#include "base/reason.h"

#include "absl/strings/cord.h"
#include "absl/strings/string_view.h"

namespace messenger {
namespace {

constexpr std::string_view kReason = "messenger.v1/reason";
constexpr std::string_view kDetail = "messenger.v1/detail/";

void Set(absl::Status* status, std::string_view url, std::string_view value) {
  status->SetPayload({url.data(), url.size()},
                     absl::Cord(absl::string_view(value.data(), value.size())));
}

std::optional<std::string> Get(const absl::Status& status,
                               std::string_view url) {
  const auto payload = status.GetPayload({url.data(), url.size()});
  if (!payload) return std::nullopt;
  return std::string(*payload);
}

}  // namespace

std::string ReasonOf(const absl::Status& status) {
  return Get(status, kReason).value_or(std::string());
}

std::optional<std::string> ReasonDetail(const absl::Status& status,
                                        std::string_view name) {
  return Get(status, std::string(kDetail).append(name));
}

absl::Status WithReason(
    absl::Status status, std::string_view reason,
    std::initializer_list<std::pair<std::string_view, std::string>> details) {
  Set(&status, kReason, reason);
  for (const auto& [name, value] : details) {
    AddReasonDetail(&status, name, value);
  }
  return status;
}

void AddReasonDetail(absl::Status* status, std::string_view name,
                     std::string_view value) {
  Set(status, std::string(kDetail).append(name), value);
}

void ForEachReasonDetail(
    const absl::Status& status,
    absl::FunctionRef<void(std::string_view name, std::string value)> visit) {
  status.ForEachPayload([&](absl::string_view url, const absl::Cord& value) {
    std::string_view name(url.data(), url.size());
    if (!name.starts_with(kDetail)) return;
    name.remove_prefix(kDetail.size());
    visit(name, std::string(value));
  });
}

}  // namespace messenger
