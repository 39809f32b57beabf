/** The table of errors where no request leads: a rule without words of its own. */
import t from 'tap'
import { errorBody, Failure } from '../../schemas/errors.ts'

t.test('a rule without words of its own has those of the form', async (t) => {
  const failure = new Failure('VALIDATION_FAILED', { details: [{ field: '/a', rule: 'multipleOf' }] })
  for (const [language, message] of [
    ['en', 'This does not have the expected form.'],
    ['ko', '형식이 올바르지 않습니다.'],
  ] as const)
    t.match(errorBody(failure, language), { details: [{ field: '/a', rule: 'multipleOf', message }] })
})
