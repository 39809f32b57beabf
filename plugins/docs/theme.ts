/** How the page looks: a title, a keyhole as its logo and icon, and a few lines of CSS. */

const LOGO = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32" width="32" height="32">
<rect width="32" height="32" rx="7" fill="#17624f"/>
<path fill="#fff" d="M16 6a6 6 0 0 1 3 11.2l2 8.8H11l2-8.8A6 6 0 0 1 16 6z"/>
</svg>`

/** The logo before the title; and less white space, so that an answer is seen without much scrolling. */
const CSS = `.swagger-ui .info { margin: 24px 0 16px }
.swagger-ui .info .title::before { content: url(logo.svg); margin-right: 12px; vertical-align: -2px }
.swagger-ui .info .description p { margin: 8px 0 }
.swagger-ui .scheme-container { margin: 0; padding: 12px 0 }
.swagger-ui .opblock .opblock-section-header { min-height: 0; padding: 4px 20px }
.swagger-ui .opblock-description-wrapper { padding: 12px 20px }
.swagger-ui .opblock-description-wrapper p { margin: 0 }
.swagger-ui .opblock .execute-wrapper, .swagger-ui .opblock-body .btn-group { padding: 8px 20px }
.swagger-ui .responses-inner { padding: 8px 20px }
`

export const theme = {
  title: 'Latchkey',
  css: [{ filename: 'latchkey.css', content: CSS }],
  favicon: [{ filename: 'logo.svg', rel: 'icon', type: 'image/svg+xml', sizes: 'any', content: LOGO }],
}
