// Protocol Buffers wire format, the part that the log needs: varints, tags, and
// a reader that walks over the fields of an encoded message.
// https://protobuf.dev/programming-guides/encoding/
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "base/narrow.h"

namespace messenger::wire {

enum class WireType : std::uint8_t {
  kVarint = 0,
  kFixed64 = 1,
  kBytes = 2,
  kFixed32 = 5,
};

constexpr std::uint32_t MakeTag(std::uint32_t field, WireType type) {
  return field << 3U | static_cast<std::uint32_t>(type);
}

// A field of a message: its number, and how its values are encoded.
template <WireType kType>
class Field {
 public:
  constexpr Field(std::uint32_t number)  // NOLINT(google-explicit-constructor)
      : tag_(MakeTag(number, kType)) {}

  // Its tag.
  constexpr operator std::uint32_t() const {  // NOLINT: as in a switch
    return tag_;
  }

 private:
  std::uint32_t tag_;
};

using VarintField = Field<WireType::kVarint>;
using Fixed64Field = Field<WireType::kFixed64>;
using BytesField = Field<WireType::kBytes>;

constexpr std::size_t VarintSize(std::uint64_t value) {
  // As (bits + 6) / 7, for 1 to 64 of them.
  return (static_cast<std::size_t>(std::bit_width(value | 1U)) * 9 + 64) / 64;
}

constexpr std::size_t kMaxVarintSize = 10;

// Writes at `out`, which must have room; returns the end of what was written.
inline char* PutVarint(char* out, std::uint64_t value) {
  while (value >= 0x80) {
    *out++ = static_cast<char>(value | 0x80U);
    value >>= 7U;
  }
  *out++ = static_cast<char>(value);
  return out;
}

static_assert(std::endian::native == std::endian::little,
              "fixed64 fields are copied as they are in memory");

inline char* PutFixed64(char* out, std::uint64_t value) {
  std::memcpy(out, &value, sizeof value);
  return out + sizeof value;
}

inline std::uint64_t GetFixed64(const char* in) {
  std::uint64_t value;
  std::memcpy(&value, in, sizeof value);
  return value;
}

inline char* PutBytes(char* out, std::string_view bytes) {
  if (!bytes.empty()) std::memcpy(out, bytes.data(), bytes.size());
  return out + bytes.size();
}

// The same, at the end of a string.
void AppendVarint(std::string& out, std::uint64_t value);
void AppendVarintField(std::string& out, VarintField field,
                       std::uint64_t value);
void AppendFixed64Field(std::string& out, Fixed64Field field,
                        std::uint64_t value);
void AppendBytesField(std::string& out, BytesField field,
                      std::string_view bytes);

// Size of a length-delimited field, tag included; `field` below 16.
constexpr std::size_t BytesFieldSize(std::size_t size) {
  return 1 + VarintSize(size) + size;
}

// Walks over the fields of an encoded message:
//
//   FieldReader fields(bytes);
//   while (fields.Next()) switch (fields.tag()) { ... }
//   if (!fields.ok()) ...
class FieldReader {
 public:
  explicit FieldReader(std::string_view bytes)
      : next_(bytes.data()), end_(bytes.data() + bytes.size()) {}

  // Moves to the next field; false at the end and at malformed input. Always
  // inlined: then the reader of a loop is in registers.
  [[gnu::always_inline]] bool Next() {
    if (next_ == end_) return false;
    begin_ = next_;
    std::uint64_t tag;
    if (!ReadVarint(&tag) || tag > UINT32_MAX || tag < 8 ||
        next_ - begin_ > kMaxVarint32Size) {
      return Fail();
    }
    tag_ = Narrow<std::uint32_t>(tag);
    switch (static_cast<WireType>(tag_ & 7U)) {
      case WireType::kVarint:
        return ReadVarint(&number_) || Fail();
      case WireType::kFixed64:
        if (end_ - next_ < 8) return FailFor(8);
        number_ = GetFixed64(next_);
        next_ += 8;
        return true;
      case WireType::kBytes: {
        std::uint64_t size;
        const char* const size_begin = next_;
        if (!ReadVarint(&size) || next_ - size_begin > kMaxVarint32Size) {
          return Fail();
        }
        if (size > static_cast<std::uint64_t>(end_ - next_)) {
          return FailFor(size);
        }
        bytes_ = std::string_view(next_, size);
        next_ += size;
        return true;
      }
      case WireType::kFixed32:
        if (end_ - next_ < 4) return FailFor(4);
        next_ += 4;
        return true;
      default:
        return Fail();
    }
  }

  bool ok() const { return ok_; }
  // Of malformed input whose last field, from begin() on, is cut off: how many
  // bytes it lacks, as far as can be told from what is there; else 0.
  std::uint64_t missing() const { return missing_; }

  // Of the current field.
  std::uint32_t tag() const { return tag_; }
  std::uint64_t number() const { return number_; }   // varint, fixed64
  std::string_view bytes() const { return bytes_; }  // length-delimited
  const char* begin() const { return begin_; }       // its tag
  const char* end() const { return next_; }          // past its value

 private:
  struct Varint {
    std::uint64_t value = 0;
    // nullptr: there is none, for want of `value` bytes, or for another reason.
    const char* end = nullptr;
  };
  // At `at`, of any number of bytes. Apart, and without the reader.
  static Varint ReadLongVarint(const char* at, const char* end);

  [[gnu::always_inline]] bool ReadVarint(std::uint64_t* value) {
    // Tags have one byte as a rule, and lengths one or two.
    if (end_ - next_ >= 2) {
      const auto first = static_cast<unsigned char>(next_[0]);
      if (first < 0x80) {
        *value = first;
        ++next_;
        return true;
      }
      const auto second = static_cast<unsigned char>(next_[1]);
      if (second < 0x80) {
        *value = (first & 0x7FU) | std::uint64_t{second} << 7U;
        next_ += 2;
        return true;
      }
    }
    const Varint varint = ReadLongVarint(next_, end_);
    if (varint.end == nullptr) {
      missing_ = varint.value;
      return false;
    }
    *value = varint.value;
    next_ = varint.end;
    return true;
  }

  // Tags and lengths may not be padded to more, as in protobuf's parsers.
  static constexpr std::ptrdiff_t kMaxVarint32Size = 5;

  bool Fail() {
    ok_ = false;
    next_ = end_;
    return false;
  }

  // For want of `size` bytes.
  bool FailFor(std::uint64_t size) {
    missing_ = size - static_cast<std::uint64_t>(end_ - next_);
    return Fail();
  }

  const char* begin_ = nullptr;
  const char* next_;
  const char* end_;
  std::uint32_t tag_ = 0;
  bool ok_ = true;
  std::uint64_t missing_ = 0;
  std::uint64_t number_ = 0;
  std::string_view bytes_;
};

}  // namespace messenger::wire
