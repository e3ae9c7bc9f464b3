// A NewMessage, encoded as it is stored and sent.
//
// The *canonical* encoding (fields in ascending order, defaults left out,
// varints as short as possible) is copied into the stored Message as it is, but
// for the producer's fields, which have their place between those of the
// sender. Two sends are the same exactly if their canonical encodings are.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/narrow.h"
#include "wire/tags.h"

namespace messenger::wire {

// Whether a field of Message has its place before those of the producer.
constexpr bool IsBeforeProducer(std::uint32_t tag) {
  return tag < tags::message::kProducerId;
}

// A view of the canonical encoding of a NewMessage.
class CanonicalMessage {
 public:
  CanonicalMessage() = default;
  // For bytes that are canonical. Looks for the first field that comes after
  // those of the producer.
  explicit CanonicalMessage(std::string_view bytes);
  // It begins at `before_size`.
  CanonicalMessage(std::string_view bytes, std::size_t before_size)
      : data_(bytes.data()),
        size_(Narrow<std::uint32_t>(bytes.size())),
        before_size_(Narrow<std::uint32_t>(before_size)) {}

  const char* data() const { return data_; }
  std::size_t size() const { return size_; }
  operator std::string_view() const {  // NOLINT(google-explicit-constructor)
    return {data_, size_};
  }

  // The fields that come before those of the producer, and after them.
  std::string_view before_producer() const { return {data_, before_size_}; }
  std::string_view after_producer() const {
    return {data_ + before_size_, size_ - before_size_};
  }

  friend bool operator==(const CanonicalMessage& a, std::string_view b) {
    return std::string_view(a) == b;
  }

 private:
  const char* data_ = nullptr;
  std::uint32_t size_ = 0;
  std::uint32_t before_size_ = 0;
};

// XXH3-128 (https://xxhash.com, seed 0) of a canonical encoding, as its
// canonical bytes: so that contents can be compared without keeping them.
using ContentHash = std::array<std::uint8_t, 16>;
ContentHash HashContent(std::string_view canonical);

}  // namespace messenger::wire
