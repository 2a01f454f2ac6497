#include "cache/piece_buffers.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <cstring>

#include "cache/disk.h"

namespace lakefuse::test {

TEST_SUITE_BEGIN("piece buffers");

namespace {

constexpr std::size_t kPiece = 4 << 20;

bool is_aligned(const PieceBuffers::Buffer& buffer) {
  return reinterpret_cast<std::uintptr_t>(buffer.get()) % kDirectAlignment == 0;
}

}  // namespace

TEST_CASE("the memory of a long piece is used again, that of a short one is not") {
  PieceBuffers buffers(kPiece, 2 * kPiece);
  for (const std::size_t bytes : {kPiece, kPiece / 4, 2 * PieceBuffers::kShortBytes}) {
    CAPTURE(bytes);
    const auto before = buffers.waiting_bytes();
    auto one = buffers.take(bytes);
    CHECK(is_aligned(one));
    const auto* const where = one.get();
    std::memset(one.get(), 1, bytes);
    one.reset();
    CHECK(buffers.waiting_bytes() == before + bytes);
    auto again = buffers.take(bytes / 2 + 1);  // A piece's end: its memory is as large.
    CHECK(again.get() == where);
    again.reset();
    again = buffers.take(bytes);
    CHECK(again.get() == where);
  }
  const auto before = buffers.waiting_bytes();
  CHECK(is_aligned(buffers.take(PieceBuffers::kShortBytes)));
  CHECK(is_aligned(buffers.take(1)));
  CHECK(is_aligned(buffers.take(kPiece + 1)));
  CHECK(buffers.waiting_bytes() == before);
}

TEST_CASE("no more memory waits than was said, and what was used last waits longest") {
  PieceBuffers buffers(kPiece, 4 * kPiece);
  auto one = buffers.take(kPiece), two = buffers.take(kPiece), three = buffers.take(kPiece);
  auto four = buffers.take(kPiece), five = buffers.take(kPiece), six = buffers.take(kPiece);
  CHECK(one.get() != two.get());
  for (auto* each : {&six, &five, &four}) each->reset();
  CHECK(buffers.waiting_bytes() == 2 * kPiece);  // More than was said is in use: two wait all the same.
  two.reset();
  CHECK(buffers.waiting_bytes() == 2 * kPiece);  // And two are in use.
  one.reset();
  CHECK(buffers.waiting_bytes() == 3 * kPiece);
  const std::byte* const last = three.get();
  three.reset();
  CHECK(buffers.waiting_bytes() == 2 * kPiece);  // Nobody reads any more.
  buffers.take(kPiece / 2).reset();
  CHECK(buffers.waiting_bytes() == kPiece + kPiece / 2);
  CHECK(buffers.take(kPiece).get() == last);
}

TEST_SUITE_END();

}  // namespace lakefuse::test
