import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { digestOf } from './digest.ts'
import type { Platform } from './image.ts'
import { choosePlatform, formatPlatform, hostPlatform, normalisePlatform, parsePlatform, selectPlatform } from './platform.ts'

const offer = (...texts: (string | undefined)[]) =>
  texts.map((text, i) => ({
    mediaType: 'x',
    digest: digestOf(String(i)),
    size: 1,
    ...(text === undefined ? {} : { platform: rough(text) }),
  }))
const rough = (text: string): Platform => {
  const [os = '', architecture = '', variant] = text.split('/')
  return { os, architecture, ...(variant === undefined ? {} : { variant }) }
}
const choose = (wanted: string, ...offered: (string | undefined)[]): string | undefined => {
  const chosen = selectPlatform(offer(...offered), rough(wanted))
  return chosen?.platform && [chosen.platform.os, chosen.platform.architecture, chosen.platform.variant].filter(Boolean).join('/')
}

describe('platforms', () => {
  test('M-01 none fits', () => assert.equal(choose('linux/amd64', 'linux/arm64', 'windows/amd64', undefined), undefined))
  test('M-02 the exact variant, then the next lower, never a higher one', () => {
    assert.equal(choose('linux/arm/v7', 'linux/arm/v6', 'linux/arm/v7', 'linux/arm/v8'), 'linux/arm/v7')
    assert.equal(choose('linux/arm/v7', 'linux/arm/v5', 'linux/arm/v6', 'linux/arm/v8'), 'linux/arm/v6')
    assert.equal(choose('linux/arm/v6', 'linux/arm/v7'), undefined)
    assert.equal(choose('linux/amd64', 'linux/amd64/v3', 'linux/amd64'), 'linux/amd64')
    assert.equal(choose('linux/amd64/v3', 'linux/amd64', 'linux/amd64/v2', 'linux/amd64/v4'), 'linux/amd64/v2')
    assert.equal(choose('linux/arm64', 'linux/arm64/v8'), 'linux/arm64/v8')
    assert.equal(choose('linux/arm64/v8', 'linux/arm64'), 'linux/arm64')
    assert.equal(choose('linux/amd64', 'linux/x86_64'), 'linux/x86_64')
  })
  test('M-02 the first of equals', () => {
    const [first, second] = offer('linux/amd64', 'linux/amd64')
    assert.equal(
      selectPlatform(
        [first, second].filter((d) => d !== undefined),
        rough('linux/amd64'),
      ),
      first,
    )
  })
  test('M-04 the only image of an index is meant also where it does not say for what, whatever attests it', () => {
    const [image, attestation, other] = offer(undefined, 'unknown/unknown', undefined)
    assert.ok(image && attestation && other)
    assert.equal(choosePlatform([attestation, image], rough('linux/amd64')), image)
    const bare = { ...other, annotations: { 'vnd.docker.reference.type': 'attestation-manifest' } }
    assert.equal(choosePlatform([bare, image], rough('linux/amd64')), image)
    assert.equal(choosePlatform([image, other], rough('linux/amd64')), undefined)
    const [fits] = offer('linux/amd64')
    assert.ok(fits)
    assert.equal(choosePlatform([image, fits], rough('linux/amd64')), fits)
  })
  test('M-04 attestations never fit', () => assert.equal(choose('linux/amd64', 'unknown/unknown'), undefined))
  test('names', () => {
    assert.equal(formatPlatform(normalisePlatform({ os: 'Linux', architecture: 'AARCH64', variant: '8' })), 'linux/arm64')
    assert.equal(formatPlatform(parsePlatform('linux/arm/7')), 'linux/arm/v7')
    assert.equal(hostPlatform().os, 'linux')
    for (const text of ['linux', 'a/b/c/d', '/amd64', 'linux/', 'linux/a b']) assert.throws(() => parsePlatform(text))
  })
})
