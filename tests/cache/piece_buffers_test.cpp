#include "cache/piece_buffers.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <cstring>

#include "cache/disk.h"

namespace lakefuse::test {

TEST_SUITE_BEGIN("piece buffers");

namespace {

constexpr std::size_t kPiece = 64 << 10;

}  // namespace

TEST_CASE("the memory of a long piece is used again, that of a short one is not") {
  PieceBuffers buffers(kPiece, 2);
  auto one = buffers.take(kPiece);
  const auto* const where = one.get();
  CHECK(reinterpret_cast<std::uintptr_t>(where) % kDirectAlignment == 0);
  one.reset();
  CHECK(buffers.waiting() == 1);
  auto again = buffers.take(kPiece / 2 + 1);  // A piece's end: its buffer is as large.
  CHECK(again.get() == where);
  again.reset();
  again = buffers.take(kPiece);
  CHECK(again.get() == where);
  std::memset(again.get(), 1, kPiece);
  buffers.take(kPiece / 2).reset();
  buffers.take(kPiece + 1).reset();
  CHECK(buffers.waiting() == 0);
}

TEST_CASE("no more buffers wait than were asked for") {
  PieceBuffers buffers(kPiece, 2);
  {
    const auto one = buffers.take(kPiece), two = buffers.take(kPiece), three = buffers.take(kPiece);
    CHECK(one.get() != two.get());
    CHECK(two.get() != three.get());
  }
  CHECK(buffers.waiting() == 2);
}

TEST_SUITE_END();

}  // namespace lakefuse::test
