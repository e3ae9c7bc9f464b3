#include "log/durable/encoded_tombstones.h"

#include <utility>

#include "messenger/storage/v1/checkpoint.pb.h"
#include "wire/coding.h"

namespace messenger {
namespace {

// It is the first field of an encoded tombstone.
std::string_view NameOfTombstone(std::string_view encoded) {
  wire::FieldReader fields(encoded);
  return fields.Next() ? fields.bytes() : std::string_view();
}

}  // namespace

void EncodedTombstones::Add(std::string_view encoded) {
  wire::AppendBytesField(
      fields_, storage::v1::Checkpoint::kTombstonesFieldNumber, encoded);
}

void EncodedTombstones::Change(std::string name, std::string encoded) {
  changes_.insert_or_assign(std::move(name), std::move(encoded));
}

void EncodedTombstones::Apply() {
  if (changes_.empty()) return;
  std::string applied;
  wire::FieldReader fields(fields_);
  while (fields.Next()) {
    if (!changes_.contains(NameOfTombstone(fields.bytes()))) {
      applied.append(fields.begin(), fields.end());
    }
  }
  fields_ = std::move(applied);
  for (const auto& [name, encoded] : changes_) {
    if (!encoded.empty()) Add(encoded);
  }
  fields_.shrink_to_fit();
  changes_ = {};
}

}  // namespace messenger
