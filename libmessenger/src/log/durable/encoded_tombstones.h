// Tombstones as a checkpoint has them.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>

namespace messenger {

// All tombstones of a checkpoint in one string, since there may be very many
// and few of them change between two checkpoints.
//
// Thread safety: none.
class EncodedTombstones {
 public:
  // Beside those there are; there must be none with this name, not even a
  // change of one. For loading.
  void Add(std::string_view encoded);

  // What is to be in the next checkpoint instead of the one with that name, if
  // there is one: this one, or none. Apply makes it so, at the cost of looking
  // at all of them.
  void Change(std::string name, std::string encoded);
  void Apply();

  // As fields of messenger.storage.v1.Checkpoint; without what is not applied.
  std::string_view fields() const { return fields_; }

 private:
  std::string fields_;
  std::map<std::string, std::string, std::less<>> changes_;  // empty: none
};

}  // namespace messenger
